"""Proves how answers of a guest look to a person at the console."""

from __future__ import annotations

import numpy as np

from frame_harness.cli.console_host import HELP
from frame_harness.cli.console_text import answer_lines, failure_lines, slot_fields, with_host_commands
from frame_harness.console.protocol import Fields, ReplyLine
from frame_harness.guest.backtrace import BacktraceLine
from frame_harness.guest.errors import GuestCrashed
from frame_harness.guest.reply import Reply

SLOT = np.dtype([("next", "<u8"), ("refcount", "<u4"), ("_reserved", "u1", 4)])
USED = (0x1000).to_bytes(8, "little") + (2).to_bytes(4, "little") + bytes(4)


def reply(request: str, *data: str, status: str = "ok", **fields: str) -> Reply:
    return Reply(request, ReplyLine(1, status, fields=Fields(fields)), data)  # type: ignore[arg-type]


def test_a_slot_is_shown_by_its_fields_and_zeros_of_no_field_are_not() -> None:
    assert slot_fields(USED, SLOT) == "next=0x1000 refcount=0x2"
    assert slot_fields(USED[:-1] + b"\x07", SLOT) == "next=0x1000 refcount=0x2 _reserved=00000007"


def test_slots_in_data_lines_are_decoded_and_counted() -> None:
    lines = list(answer_lines(reply("dump 0 3", f"3 {USED.hex()}", f"bytes={USED.hex()}"), SLOT))
    assert lines[:2] == ["3 × next=0x1000 refcount=0x2", "next=0x1000 refcount=0x2"]


def test_other_hex_digits_stay_as_they_are() -> None:
    for line in (f"sum {USED.hex()}00", "1234abcd", "no digits here"):
        assert next(iter(answer_lines(reply("x", line), SLOT))) == line


def test_bytes_of_a_frame_are_no_slot_however_many_they_are() -> None:
    shown = f"ok bytes={USED.hex()}"
    assert [*answer_lines(reply("payload.peek 0x1000 16", bytes=USED.hex()), SLOT)] == [shown]
    batch = reply("batch const;payload.peek 0x1000 16", f"1 {shown}", done="2")
    assert [*answer_lines(batch, SLOT)] == [f"1 {shown}", "ok done=2"]
    assert [*answer_lines(reply("slot.peek 0x1000", bytes=USED.hex()), SLOT)] == [
        "ok next=0x1000 refcount=0x2"
    ]


def test_the_backtrace_of_a_panic_follows_its_answer() -> None:
    panic = Reply(
        "x",
        ReplyLine(1, "panic", text="no slot"),
        backtrace=(BacktraceLine("take+0x1"), BacktraceLine("main+0x2")),
    )
    assert list(answer_lines(panic, SLOT))[1:] == ["  take+0x1", "  main+0x2"]


def test_help_shows_the_host_s_commands_instead_of_the_guest_s_of_that_name() -> None:
    shown = with_host_commands(reply("help", "map - regions", "alloc - a frame")).data
    assert shown == (*HELP, "alloc - a frame")


def test_help_for_a_word_shows_the_host_s_commands_that_begin_so() -> None:
    shown = with_host_commands(reply("help wat")).data
    assert shown and all(line.startswith("watch") for line in shown)


def test_any_other_answer_is_left_alone() -> None:
    for other in (reply("map", "map - regions"), reply("help", "map - x", status="err")):
        assert with_host_commands(other) is other


def test_how_a_guest_ended_is_told_without_lines_of_the_protocol() -> None:
    failure = GuestCrashed(
        "guest", detail="it was reset",
        console_tail=("=1 ok", ": data", "a word of its own", "!end", "*banner"),
        backtrace=(BacktraceLine("take+0x1"),), registers=("rip=0x10",),
    )  # fmt: skip
    first, *rest = failure_lines(failure)
    assert "it was reset" in first
    assert rest == ["  rip=0x10", "  take+0x1", "printed last:", "  a word of its own"]
