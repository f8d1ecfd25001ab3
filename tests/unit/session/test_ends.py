"""Shows when a run is stopped because its guests all end in the same way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from frame_harness.base.units import Vaddr
from frame_harness.guest.backtrace import Backtrace, BacktraceLine
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.errors import GuestCrashed, GuestFailure, GuestTimeout
from frame_harness.image.code_at import CodeAt
from frame_harness.machine.monitor_event import MonitorEvent
from frame_harness.session.ends import ENOUGH, HUNG_ENOUGH, Ends, Hangs

RESET = MonitorEvent("SHUTDOWN", "guest-reset")


def code(function: str, file: str = "frame.rs", line: int = 7, *, offset: int = 0x12) -> CodeAt:
    return CodeAt(Vaddr(0xFFFF_FFFF_8010_0000), function, offset, function, file, line)


def backtrace(*codes: CodeAt) -> Backtrace:
    return tuple(BacktraceLine(str(one), one) for one in codes)


F = code("f")


def crash(place: CodeAt = F) -> GuestCrashed:
    lines = backtrace(place, code("main", "main.rs", 1))
    return GuestCrashed(
        "panic", detail="panic at frame.rs:7:1: no", backtrace=lines, console_bytes=812, events=(RESET,)
    )


def hang(place: CodeAt, spent: str) -> GuestTimeout:
    detail = f"the guest used up its CPU time: {spent}"
    return GuestTimeout("timeout", detail=detail, backtrace=(BacktraceLine("CPU 0:"), *backtrace(place)))


def test_the_same_crash_again_and_again_stops_a_run() -> None:
    ends = Ends()
    assert [ends.stops(crash()) for _ in range(ENOUGH - 1)] == [None] * (ENOUGH - 1)
    stop = ends.stops(crash())
    assert isinstance(stop, GuestCrashed)
    assert f"the first {ENOUGH} guests all ended in the same way" in stop.summary
    assert "frame.rs:7:1: no" in stop.summary and stop.backtrace == crash().backtrace
    assert (stop.console_bytes, stop.events) == (812, (RESET,))


def test_a_loop_is_the_same_at_any_of_its_lines() -> None:
    ends = Ends()
    lines = [hang(code("f", line=n, offset=n), f"3.{n} s") for n in range(1, 1 + ENOUGH)]
    assert isinstance([ends.stops(line) for line in lines][-1], GuestTimeout)


@pytest.mark.parametrize("other", [crash(code("g", line=9)), hang(F, "3 s")])
def test_another_end_starts_the_count_anew(other: GuestFailure) -> None:
    ends = Ends()
    for _ in range(ENOUGH):
        assert ends.stops(crash()) is None
        assert ends.stops(other) is None


@pytest.mark.parametrize("lived", [None, ClauseViolated("what", expected="1", got="2")])
def test_a_run_in_which_one_guest_lived_goes_on(lived: BaseException | None) -> None:
    ends = Ends()
    assert ends.stops(lived) is None
    assert [ends.stops(crash()) for _ in range(2 * ENOUGH)] == [None] * (2 * ENOUGH)


FILE = "/home/me/frame.rs"
HERE = code("kernel::MetaSlot::inc_ref", FILE)


def test_a_place_is_known_once_guests_hung_there_until_their_limit() -> None:
    hangs = Hangs(Path(FILE))
    for _ in range(HUNG_ENOUGH):
        assert not hangs.known(HERE)
        hangs.note(hang(HERE, "3 s"))
    assert hangs.known(HERE)
    assert hangs.known(replace(HERE, symbol="kernel::commands::run", line=9)), "inlined there"
    assert not hangs.known(code("kernel::MetaSlot::dec_ref", FILE))
    assert not hangs.known(replace(HERE, file="/elsewhere/frame.rs"))
    assert not hangs.known(CodeAt(HERE.address))


@pytest.mark.parametrize(
    "place", [code("kernel::smp::wait", "/home/me/shim/smp.rs"), CodeAt(HERE.address, "f", 1, "f")]
)
def test_a_place_outside_of_the_subject_is_never_known(place: CodeAt) -> None:
    """A kernel waits there for other CPUs, as long as they need."""
    hangs = Hangs(Path(FILE))
    for _ in range(HUNG_ENOUGH):
        hangs.note(hang(place, "3 s"))
    assert not hangs.known(place)


def test_a_crash_is_no_hang() -> None:
    hangs = Hangs(Path(FILE))
    for _ in range(HUNG_ENOUGH):
        hangs.note(crash(HERE))
        hangs.note(None)
    assert not hangs.known(HERE)
