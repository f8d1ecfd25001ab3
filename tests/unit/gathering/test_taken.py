"""What can be read of a guest is taken without asking it; what cannot is a note, and the rest is there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import PAGE_SIZE, Paddr
from frame_harness.console.transcript import Transcript
from frame_harness.gathering import taken as taken_module
from frame_harness.gathering.taken import Taken, take, take_remains
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.command_log import CommandLog
from frame_harness.guest.errors import GuestCrashed
from frame_harness.guest.remains import Remains
from tests.support.synthetic import SMALL, healthy_state

FRAME = Paddr(0x3000)
EVENT = object()
IMAGE: Any = object()
WHERE: Any = ("inner", "outer")
CRASHED = GuestCrashed("crash", detail="#PF", backtrace=WHERE, registers=("RIP=0x1",))


class Guest:
    """Stands in for a guest that is stopped; whoever asks it something fails."""

    def __init__(self, *, ended: bool = False, at_the_limit: str | None = None) -> None:
        self.image, self.frames, self.failure = IMAGE, 8, cast("HarnessError | None", None)
        self.log = CommandLog(0.0)
        transcript = Transcript()
        transcript.append(b"# boot\nready\n")
        self.channel = SimpleNamespace(transcript=transcript)
        self.ram = SimpleNamespace(holds=lambda paddr: paddr < 8 * PAGE_SIZE)
        timeout = None if at_the_limit is None else SimpleNamespace(registers=at_the_limit)
        self.guest = SimpleNamespace(
            argv=["qemu"], timeout=timeout, process=SimpleNamespace(ended=lambda: ended),
            hmp=lambda command: f"RAX=0\r\nRBX=1 of {command}\r\n",
            events=lambda *, ask: pytest.fail("it was asked") if ask else (EVENT,),
        )  # fmt: skip

    def payload(self, paddr: Paddr) -> object:
        return np.full(PAGE_SIZE, paddr // PAGE_SIZE, np.uint8)


@pytest.fixture(autouse=True)
def live(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The guests that this process has."""
    guests: list[object] = []
    monkeypatch.setattr(taken_module, "live_guests", lambda: guests)
    return guests


def took(guest: Guest, error: BaseException | None = None, *, memory: bool = True) -> Taken:
    state = healthy_state(SMALL)

    def read() -> Any:
        return state if memory else 1 / 0

    return take(cast("BootedGuest", guest), read, FRAME, error)


def test_everything_is_read_of_a_guest_that_stands_still(live: list[object]) -> None:
    guest = Guest()
    live.append(guest.guest)
    guest.log.sent("alloc new")
    guest.log.begin_check()
    guest.log.sent("release 0x5000 0")
    found = took(guest)
    assert (found.argv, found.image, found.guest) == (("qemu",), IMAGE, cast("Any", guest))
    assert [line.text for line in found.console] == [b"# boot", b"ready"]
    assert found.registers == ("RAX=0", "RBX=1 of info registers -a")
    assert [one.line for one in found.sent] == ["alloc new", "release 0x5000 0"]
    assert (found.left_out, found.of_others, found.died) == (0, 1, False)
    assert found.pfns.tolist() == [3, 5]
    assert found.payload.pages[:, 0].tolist() == [3, 5]
    assert (found.events, found.console_bytes, found.notes) == ((EVENT,), 13, [])


def test_memory_is_a_copy_that_the_guest_does_not_change(live: list[object]) -> None:
    state = healthy_state(SMALL)
    found = take(cast("BootedGuest", Guest()), lambda: state, None, None)
    assert found.state is not None
    state.slots["refcount"][1] += 1
    assert found.state.slots["refcount"][1] != state.slots["refcount"][1]


def test_what_cannot_be_read_is_a_note_and_the_rest_is_there() -> None:
    found = took(Guest(), memory=False)
    assert found.state is None
    assert found.pfns.tolist() == [3], "frames are told by the guest's own count"
    assert found.notes == [
        "no registers: HarnessError: registers: the guest's QEMU is gone",
        "no memory: ZeroDivisionError: division by zero",
    ]


@pytest.mark.parametrize(
    ("guest", "error", "registers"),
    [
        (Guest(at_the_limit="RIP=0x7\nRSP=0x8\n"), None, ("RIP=0x7", "RSP=0x8")),
        (Guest(at_the_limit=""), None, ()),
        (Guest(ended=True), None, ()),
    ],
    ids=["at the limit", "not told at the limit", "ended"],
)
def test_registers_are_those_of_the_end(
    guest: Guest, error: BaseException | None, registers: tuple[str, ...], live: list[object]
) -> None:
    live.append(guest.guest)
    assert took(guest, error).registers == registers


def test_a_crash_tells_where_the_guest_was_whoever_has_it() -> None:
    by_error = took(Guest(), CRASHED)
    assert (by_error.backtrace, by_error.died) == (WHERE, False)
    guest = Guest()
    guest.failure = CRASHED
    by_guest = took(guest, HarnessError("check", "it broke off"))
    assert (by_guest.backtrace, by_guest.registers, by_guest.died) == (WHERE, ("RIP=0x1",), True)


def remains(log: CommandLog | None) -> Remains:
    transcript = Transcript()
    transcript.append(b"# boot\n")
    return Remains(IMAGE, ("qemu",), transcript, (), log, cast("Any", (EVENT,)))


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (None, "the guest did not come to its prompt"),
        (CommandLog(0.0), "it ended in a part that checks share"),
    ],
)
def test_what_an_error_left_is_taken_of_a_guest_that_is_gone(log: CommandLog | None, why: str) -> None:
    found = take_remains(remains(log), CRASHED)
    assert (found.guest, found.state, found.died) == (None, None, True)
    assert (found.backtrace, found.registers) == (WHERE, ("RIP=0x1",))
    assert (found.console_bytes, found.events) == (7, (EVENT,))
    assert found.notes == [f"no memory: {why}"]
