"""Proves the one form of every message."""

from __future__ import annotations

from frame_harness.base.errors import DumpError, HarnessError, ProtocolError, quote_bytes


def test_message_is_one_line_with_the_next_step_below() -> None:
    error = HarnessError("slot", "pfn 0x1a3", expected=1, actual=2, next_step="look at it")
    assert str(error) == "slot: pfn 0x1a3: expected 1, got 2\nnext: look at it"


def test_none_is_a_value_that_can_be_expected() -> None:
    assert HarnessError("reply", expected=None, actual=0).summary == "reply: expected None, got 0"


def test_evidence_is_indented_below_the_first_line() -> None:
    assert str(HarnessError("qemu", detail="died", evidence="a\nb")) == "qemu: died\n  a\n  b"


def test_broken_dump_is_a_broken_protocol() -> None:
    assert issubclass(DumpError, ProtocolError) and issubclass(ProtocolError, HarnessError)


def test_bytes_are_shown_so_that_no_terminal_acts_on_them() -> None:
    assert quote_bytes(b"\x1b[2Jab") == "'\\x1b[2Jab'"
    assert quote_bytes(b"x" * 300, 4) == "'xxxx' ... (300 bytes)"
