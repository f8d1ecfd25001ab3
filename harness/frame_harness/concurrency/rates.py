"""Reads how far the CPUs of a guest have come while they run their programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from frame_harness.console.stream import Watch
from frame_harness.judge.diagrams import RateSample

SAMPLE_S: Final = 0.02
"""Between two samples, to begin with; a hundredth of that is spent on waking up for one."""
STEPS: Final = "counters.steps"
"""As numpy names the counter of a CPU's record."""
MOST_SAMPLES: Final = 60
"""Where there are more, every second one is dropped, and they come half as often from then on."""


class RateWatch:
    """A watch that reads the counters of some CPUs in guest RAM while somebody waits for the end of a run.

    Nothing is asked of the guest, which does not notice.

    Args:
        cpus: their records in the guest's table, live.
        running: tells whether the counters are those of this run.
    """

    def __init__(self, inner: Watch, cpus: Sequence[Any], running: Callable[[], bool], began: float) -> None:
        self._inner, self._cpus, self._running, self._began = inner, cpus, running, began
        self._apart_s = SAMPLE_S
        self._next = began + SAMPLE_S
        self._received = -1
        self._asked = began
        self.samples: list[RateSample] = []

    @property
    def poll_s(self) -> float:
        """Seconds until the inner watch or the next sample is due, 0 where one is."""
        now = time.monotonic()
        return max(0.0, min(self._asked + self._inner.poll_s, self._next) - now)

    def check(self, received: int) -> None:
        """Take a sample when one is due, then ask the inner watch as often as it wants to be asked."""
        now = time.monotonic()
        if now >= self._next:
            self.sample(now)
            self._next = now + self._apart_s
        # The inner watch counts how often it is asked: that stays as if nobody looked in between.
        if received != self._received or now >= self._asked + self._inner.poll_s:
            self._received, self._asked = received, now
            self._inner.check(received)

    def last(self, now: float) -> tuple[RateSample, ...]:
        """All samples, when the run is over; one more where the last one is too old to stand for its end."""
        if not self.samples or now - self._began > self.samples[-1].at_s + self._apart_s / 2:
            self.sample(now)
        return tuple(self.samples)

    def sample(self, now: float) -> None:
        """Read the counters, if the run has begun."""
        if not self._running():
            return
        steps = tuple(int(cpu[STEPS]) for cpu in self._cpus)
        self.samples.append(RateSample(at_s=max(0.0, now - self._began), steps=steps))
        if len(self.samples) > MOST_SAMPLES:
            del self.samples[::2]
            self._apart_s *= 2
