"""Shows when a run is stopped because its guests all end in the same way."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.errors import GuestCrashed, GuestFailure, GuestTimeout
from frame_harness.session.ends import ENOUGH, HUNG_ENOUGH, Ends, Hangs


def crash(place: str = "f+0x12 (frame.rs:7)") -> GuestCrashed:
    return GuestCrashed(
        "panic", detail="panic at frame.rs:7:1: no", backtrace=(place, "main+0x1 (main.rs:1)")
    )


def hang(place: str, spent: str) -> GuestTimeout:
    return GuestTimeout("timeout", detail=f"the guest used up its CPU time: {spent}", backtrace=(place,))


def test_the_same_crash_again_and_again_stops_a_run() -> None:
    ends = Ends()
    assert [ends.stops(crash()) for _ in range(ENOUGH - 1)] == [None] * (ENOUGH - 1)
    stop = ends.stops(crash())
    assert isinstance(stop, GuestCrashed)
    assert f"the first {ENOUGH} guests all ended in the same way" in stop.summary
    assert "frame.rs:7:1: no" in stop.summary and stop.backtrace == crash().backtrace


def test_a_loop_is_the_same_at_any_of_its_lines() -> None:
    ends = Ends()
    lines = [hang(f"f+{n:#x} (frame.rs:{n})", f"3.{n} s") for n in range(ENOUGH)]
    assert isinstance([ends.stops(line) for line in lines][-1], GuestTimeout)


@pytest.mark.parametrize("other", [crash("g+0x1 (frame.rs:9)"), hang("f+0x1 (frame.rs:7)", "3 s")])
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


HERE = "kernel::MetaSlot::inc_ref+0x12 (/home/me/frame.rs:7)"


def test_a_place_is_known_once_guests_hung_there_until_their_limit() -> None:
    hangs = Hangs(Path("/home/me/frame.rs"))
    for _ in range(HUNG_ENOUGH):
        assert not hangs.known(HERE)
        hangs.note(hang(HERE, "3 s"))
    assert hangs.known(HERE)
    assert hangs.known("kernel::MetaSlot::inc_ref in kernel::commands::run+0x99 (/home/me/frame.rs:9)")
    assert not hangs.known("kernel::MetaSlot::dec_ref+0x12 (/home/me/frame.rs:7)")
    assert not hangs.known("kernel::MetaSlot::inc_ref+0x12 (/elsewhere/frame.rs:7)")
    assert not hangs.known("0xffffffff80100000")


@pytest.mark.parametrize("line", ["kernel::smp::wait+0x1 (/home/me/shim/smp.rs:5)", "CPU 0:", "f+0x1"])
def test_a_place_outside_of_the_subject_is_never_known(line: str) -> None:
    """A kernel waits there for other CPUs, as long as they need."""
    hangs = Hangs(Path("/home/me/frame.rs"))
    for _ in range(HUNG_ENOUGH):
        hangs.note(hang(line, "3 s"))
    assert not hangs.known(line)


def test_a_crash_is_no_hang() -> None:
    hangs = Hangs(Path("/home/me/frame.rs"))
    for _ in range(HUNG_ENOUGH):
        hangs.note(crash(HERE))
        hangs.note(None)
    assert not hangs.known(HERE)
