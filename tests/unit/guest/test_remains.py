"""What is left of a guest is found by the error that told its end, as long as somebody has that error."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.guest.remains import Remains, leave, leave_guest, remains_of, taken_guest

EVENT = object()


class Thing:
    """Something that can be let go."""


def left(error: HarnessError, registers: str | None = None) -> Remains:
    """Leave a stand-in of a guest behind an error; return what is found again."""
    timeout = None if registers is None else SimpleNamespace(registers=registers)
    guest = SimpleNamespace(
        timeout=timeout, argv=["qemu", "-m", "32"], events=lambda *, ask: () if ask else (EVENT,)
    )
    channel = SimpleNamespace(transcript=Thing())
    leave(error, cast("Any", guest), cast("Any", channel), cast("Any", Thing()))
    found = remains_of(error)
    assert found is not None
    return found


def test_what_is_left_is_found_by_the_error_without_asking_the_guest() -> None:
    found = left(HarnessError("guest", "it died"), "RAX=0\r\nRBX=1\n")
    assert found.argv == ("qemu", "-m", "32")
    assert found.registers == ("RAX=0", "RBX=1")
    assert found.events == (EVENT,)
    assert found.log is None
    assert left(HarnessError("guest", "it exited")).registers == ()


def test_an_error_that_came_of_another_one_leads_to_what_that_left() -> None:
    first = HarnessError("guest", "it died")
    found = left(first)
    try:
        try:
            raise first
        except HarnessError as error:
            raise ValueError("in between") from error
    except ValueError as error:
        outer = HarnessError("check", "it broke off")
        outer.__cause__ = error
    assert remains_of(outer) is found


@pytest.mark.parametrize("error", [None, ValueError("none"), HarnessError("other", "no guest")])
def test_an_error_that_tells_of_no_guest_leads_to_nothing(error: BaseException | None) -> None:
    left(HarnessError("guest", "it died"))
    assert remains_of(error) is None
    assert taken_guest(error) is None


def test_a_guest_is_taken_once() -> None:
    error, guest = HarnessError("guest", "it died"), Thing()
    leave_guest(error, guest)
    assert taken_guest(error) is guest
    assert taken_guest(error) is None


def test_nothing_is_kept_longer_than_the_error() -> None:
    error = HarnessError("guest", "it died")
    kept = weakref.ref(left(error).transcript)
    guest = Thing()
    leave_guest(error, guest)
    of_the_guest = weakref.ref(guest)
    del guest, error
    gc.collect()
    assert kept() is None
    assert of_the_guest() is None
