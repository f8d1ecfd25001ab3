"""Proves how accesses are taken apart into fields, and how the counters of a storm are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from frame_harness.concurrency import rates
from frame_harness.concurrency.rates import MOST_SAMPLES, SAMPLE_S, STEPS, RateWatch
from frame_harness.concurrency.recording import Recording
from frame_harness.concurrency.turn import StepPanicked, Turn
from frame_harness.concurrency.watched import pieces
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.guest.checks import NotEvaluated
from frame_harness.guest.errors import GuestTimeout
from frame_harness.judge.diagrams import Hold, Interleaving, SlotAccess
from frame_harness.machine.debugger import DebuggerError


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (32, 36, [("refcount", 32, 36)]),
        (24, 32, [("flags", 24, 28), ("order", 28, 29), ("reserved0", 29, 32)]),
        (20, 28, [("vtable", 20, 24), ("flags", 24, 28)]),
        (48, 64, [("reserved_tail", 48, 56), ("reserved_tail", 56, 64)]),
        (-8, 4, [("next", 0, 4)]),
        (64, 72, []),
    ],
)
def test_an_access_is_told_field_by_field(begin: int, end: int, expected: list[tuple[str, int, int]]) -> None:
    assert [(one.field, one.begin, one.end) for one in pieces(META_SLOT, begin, end)] == expected


def test_a_recording_adds_accesses_and_changes_nothing_else() -> None:
    diagram = Interleaving(
        operations=("a", "b"),
        hold=Hold(cpu=1, instructions=0, at="f:1"),
        part="p",
        orders=("1", "2"),
        got="3",
    )
    seen = SlotAccess(cpu=1, field="flags", reads=True, writes=False, found=1)
    whole = Recording((seen,), 1, 0).added_to(diagram)
    assert (whole.accesses, whole.held_after, whole.meanwhile) == ((seen,), 1, 0)
    assert (whole.what, whole.expected, whole.got) == (diagram.what, diagram.expected, diagram.got)


def raising(error: Exception) -> Callable[[], Recording]:
    def again() -> Recording:
        raise error

    return again


@pytest.mark.parametrize(
    "error",
    [
        StepPanicked(),
        GuestTimeout("guest", detail="it hangs"),
        NotEvaluated("interleaving"),
        DebuggerError("debugger"),
    ],
)
def test_what_was_found_is_told_though_it_cannot_be_recorded(error: Exception) -> None:
    turn = Turn(Hold(cpu=1, instructions=0, at="f:1"), ("a", "b"), again=raising(error))
    diagram = turn.diagram("count", "1", "2", "refcount")
    assert (diagram.expected, diagram.got, diagram.accesses) == ("1", "2", ())


class Clock:
    """Time that passes when somebody says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Asked:
    """A watch that counts how often it is asked."""

    poll_s = 0.25

    def __init__(self) -> None:
        self.times = self.received = 0

    def check(self, received: int) -> None:
        self.times += 1
        self.received = received


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(rates, "time", clock)
    yield clock


def played(clock: Clock, seconds: float, watch: RateWatch, cpu: dict[str, int]) -> None:
    """Wait as the console does, while a CPU takes a step each millisecond."""
    end = clock.now + seconds
    while clock.now < end:
        clock.now += max(watch.poll_s, 0.001)
        cpu[STEPS] = round((clock.now - 100.0) * 1000)
        watch.check(0)


def test_counters_are_read_while_somebody_waits(clock: Clock) -> None:
    cpu = {STEPS: 0}
    watch = RateWatch(Asked(), [cpu], lambda: True, clock.now)
    played(clock, 0.1, watch, cpu)
    samples = watch.last(clock.now)
    assert len(samples) == pytest.approx(0.1 / SAMPLE_S, abs=1)
    assert all(one.steps == (round(one.at_s * 1000),) for one in samples)


def test_the_inner_watch_is_asked_as_often_as_it_wants(clock: Clock) -> None:
    cpu, inner = {STEPS: 0}, Asked()
    played(clock, 2.0, RateWatch(inner, [cpu], lambda: True, clock.now), cpu)
    assert inner.times == pytest.approx(2.0 / Asked.poll_s, abs=1)


def test_a_long_storm_has_no_more_samples_than_a_picture_has_room_for(clock: Clock) -> None:
    cpu = {STEPS: 0}
    watch = RateWatch(Asked(), [cpu], lambda: True, clock.now)
    played(clock, 20.0, watch, cpu)
    samples = watch.last(clock.now)
    assert MOST_SAMPLES / 2 <= len(samples) <= MOST_SAMPLES
    assert samples[-1].at_s == pytest.approx(20.0, abs=1.0)


def test_counters_of_an_earlier_run_are_not_read(clock: Clock) -> None:
    cpu = {STEPS: 7}
    watch = RateWatch(Asked(), [cpu], lambda: False, clock.now)
    played(clock, 0.1, watch, cpu)
    assert watch.last(clock.now) == ()
