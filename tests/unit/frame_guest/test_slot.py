"""Each method of a slot is one command of the console about the slot's frame."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.base.units import Paddr
from frame_harness.console.protocol import Fields, ReplyLine
from frame_harness.frame_guest.slot import Slot
from frame_harness.frame_guest.view import GuestView
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.guest.errors import CommandRefused
from frame_harness.guest.reply import Reply

FRAME = Paddr(0x7000)


ANSWER = ReplyLine(1, "ok", fields=Fields({"v": "0x5", "bytes": "0a0b"}))


class Guest:
    """Stands in for a guest: takes down what is sent, and answers as a test says."""

    def __init__(self, line: ReplyLine | None = None) -> None:
        self.sent: list[str] = []
        self._line = (
            ReplyLine(1, "ok", fields=Fields({"v": "0x5", "bytes": "0a0b"})) if line is None else line
        )
        self.image = SimpleNamespace(slot_layout=META_SLOT)

    def call(self, command: str, *arguments: int | str) -> Reply:
        self.sent.append(
            " ".join([command, *(f"{one:#x}" if isinstance(one, int) else one for one in arguments)])
        )
        return Reply(command, self._line)

    def request(self, command: str) -> Reply:
        self.sent.append(command)
        return Reply(command, self._line)


def slot_of(guest: Guest) -> Slot:
    return Slot(cast("GuestView", guest), FRAME)


@pytest.mark.parametrize(
    ("ask", "sent", "answer"),
    [
        (lambda slot: slot.get_refcount(), "slot.get_refcount 0x7000", 5),
        (lambda slot: slot.set_refcount(9), "slot.set_refcount 0x7000 0x9", None),
        (lambda slot: slot.inc_ref(), "slot.inc_ref 0x7000", None),
        (lambda slot: slot.dec_ref(), "slot.dec_ref 0x7000", 5),
        (lambda slot: slot.get_flags(), "slot.get_flags 0x7000", 5),
        (lambda slot: slot.set_flags(0x100), "slot.set_flags 0x7000 0x100", None),
        (lambda slot: slot.get_guard(), "slot.get_guard 0x7000", 5),
        (lambda slot: slot.set_guard(2), "slot.set_guard 0x7000 0x2", None),
        (lambda slot: slot.is_guard_poisoned(), "slot.is_guard_poisoned 0x7000", 5),
        (lambda slot: slot.mark_poisoned(), "slot.mark_poisoned 0x7000", None),
        (lambda slot: slot.generation(), "slot.generation 0x7000", 5),
        (lambda slot: slot.set_generation(3), "slot.set_generation 0x7000 0x3", None),
        (lambda slot: slot.vtable_bits(), "slot.vtable_bits 0x7000", 5),
        (lambda slot: slot.set_vtable_bits(8), "slot.set_vtable_bits 0x7000 0x8", None),
        (lambda slot: slot.meta_aux_store(4), "slot.meta_aux_store 0x7000 0x4", None),
        (lambda slot: slot.peek(), "slot.peek 0x7000", b"\x0a\x0b"),
        (lambda slot: slot.poke(4, b"\x01\xff"), "slot.poke 0x7000 0x4 01ff", None),
    ],
)
def test_a_method_is_one_command(ask: Callable[[Slot], object], sent: str, answer: object) -> None:
    guest = Guest()
    assert ask(slot_of(guest)) == answer
    assert guest.sent == [sent]


def line(status: str) -> ReplyLine:
    return ReplyLine(1, cast("Any", status), "Differs", fields=Fields({"v": "0x2"}))


def test_an_exchange_that_is_refused_is_an_answer_and_no_error() -> None:
    for status, swapped in (("ok", True), ("fail", False)):
        guest = Guest(line(status))
        assert slot_of(guest).cas_refcount(1, 7) == (swapped, 2)
        assert guest.sent == ["slot.cas_refcount 0x7000 0x1 0x7"]
    with pytest.raises(CommandRefused):
        slot_of(Guest(line("err"))).cas_refcount(1, 7)


@pytest.mark.parametrize("name", META_SLOT.widths)
def test_a_field_is_overwritten_where_it_lies_in_as_many_bytes_as_it_has(name: str) -> None:
    guest, field = Guest(), META_SLOT.field(name)
    assert field is not None
    slot_of(guest).poke_field(name, 1)
    assert guest.sent == [f"slot.poke 0x7000 {field.offset:#x} {'01' + '00' * (field.size - 1)}"]


def test_a_field_that_a_slot_has_not_is_named() -> None:
    with pytest.raises(KeyError, match="nothing"):
        slot_of(Guest()).poke_field("nothing", 1)
