"""Everything that a guest was sent, with replies and times, in bounded memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from frame_harness.guest.reply import Reply

KEPT: Final = 10_000


class Sent(NamedTuple):
    """A command; `reply` is empty where none came."""

    line: str
    reply: str
    at_s: float
    """When it was sent, in seconds since the log began."""
    took_s: float
    """Until the reply; of commands that ran together, all of them."""


class CommandLog:
    """The last commands of a guest, oldest first.

    Attributes:
        n_sent: how many there were, those that are not kept any more included.
        n_before: how many of these were sent before the check that has the guest now.
    """

    def __init__(self, began: float) -> None:
        """Args: began: by the monotonic clock, what times count from."""
        self.n_sent = self.n_before = 0
        self._began = began
        # A reply is written out when somebody asks: that takes longer than a command of many in RAM.
        self._kept: deque[tuple[str, str | Reply, float, float]] = deque(maxlen=KEPT)

    def begin_check(self) -> None:
        """Note that another check has the guest from now on."""
        self.n_before = self.n_sent

    def sent(self, line: str) -> None:
        """Note a command that is about to be sent."""
        self._add(line, "", time.monotonic() - self._began, 0.0)

    def replied(self, reply: str) -> None:
        """Note what the last one brought."""
        line, _, at_s, _ = self._kept.pop()
        self._kept.append((line, reply, at_s, time.monotonic() - self._began - at_s))

    def was_several(self, replies: Sequence[Reply]) -> None:
        """Note what the last one made the guest do, in place of it."""
        _, _, at_s, took_s = self._take()
        for reply in replies:
            self._add(reply.request, reply, at_s, took_s)

    def broke_off(self, lines: Sequence[str]) -> None:
        """Note, in place of what was sent, the commands that ran; the guest was lost in the last one."""
        _, _, at_s, _ = self._take()
        for line in lines:
            self._add(line, "", at_s, 0.0)

    def __iter__(self) -> Iterator[Sent]:
        for line, reply, at_s, took_s in self._kept:
            yield Sent(line, reply if isinstance(reply, str) else reply.shown, at_s, took_s)

    def __len__(self) -> int:
        return len(self._kept)

    def _take(self) -> tuple[str, str | Reply, float, float]:
        self.n_sent -= 1
        return self._kept.pop()

    def _add(self, line: str, reply: str | Reply, at_s: float, took_s: float) -> None:
        self.n_sent += 1
        self._kept.append((line, reply, at_s, took_s))
