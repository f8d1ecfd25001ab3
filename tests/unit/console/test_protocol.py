"""Proves that every line of the console is read as what it is."""

from __future__ import annotations

import pytest

from frame_harness.base.errors import ProtocolError
from frame_harness.console.protocol import (
    Banner,
    Crash,
    Data,
    Log,
    Noise,
    ReplyLine,
    parse_batch_line,
    parse_crash,
    parse_fields,
    parse_line,
    quote_line,
)

BANNER = b"*frame-harness proto=1 build=ab12 nonce=cafe profile=dev hhdm=0xffff800000000000 frames=16 cpus=1"


def reply(text: str) -> ReplyLine:
    line = parse_line(text.encode())
    assert isinstance(line, ReplyLine)
    return line


def test_first_character_tells_what_a_line_is() -> None:
    assert parse_line(b"# memory: 16 slots") == Log("memory: 16 slots")
    assert parse_line(b": first line") == Data("first line")
    assert parse_line(b":  indented") == Data(" indented")
    assert parse_line(b":") == Data("")
    assert parse_line(b"!end") == Crash("end")
    assert parse_line(b"! msg no slot") == Crash(" msg no slot")
    assert isinstance(parse_line(BANNER), Banner)


def test_carriage_return_at_the_end_is_no_part_of_the_line() -> None:
    assert parse_line(b"# log\r") == Log("log")


@pytest.mark.parametrize(
    "raw", [b"", b"SeaBIOS (version 1.16)", b"\x1b[2J", b"\xff\xfe", b"*other", b"12 ok", b":x"]
)
def test_everything_without_a_mark_is_noise(raw: bytes) -> None:
    assert parse_line(raw) == Noise(raw)


def test_reply_carries_its_fields() -> None:
    line = reply("=12 ok paddr=0x1000 v=1 bytes=00ff name=#PF")
    assert (line.seq, line.status) == (12, "ok")
    assert line.fields.int("paddr") == 0x1000 and line.fields.flag("v") and line.fields["name"] == "#PF"
    assert line.fields.bytes("bytes") == b"\x00\xff"
    assert reply("=3 ok").fields == {}


def test_error_of_the_subject_is_told_from_a_refusal() -> None:
    assert (reply("=1 fail OutOfMemory").status, reply("=1 fail OutOfMemory").code) == ("fail", "OutOfMemory")
    assert reply("=1 fail Err v=5").fields.int("v") == 5
    refusal = reply("=1 err usage alloc: expected a purpose")
    assert (refusal.status, refusal.code, refusal.text) == ("err", "usage", "alloc: expected a purpose")


def test_recovered_panic_carries_its_place_and_its_words() -> None:
    line = reply("=9 panic file=src/a%20b.rs line=281 msg=frame%200x1000%3a%20in%20use%0aagain")
    assert (line.file, line.line, line.text) == ("src/a b.rs", 281, "frame 0x1000: in use\nagain")


@pytest.mark.parametrize(
    "raw",
    [
        b"=", b"= ok", b"=x ok", b"=-1 ok", b"=1", b"=1 done", b"=1  ok", b"=1 okay", b"=1 ok v", b"=1 ok =1",
        b"=1 ok v=1 v=2", b"=1 fail", b"=1 fail v=1", b"=1 err", b"=1 panic", b"=1 panic file=a line=b msg=c",
        b"!", b"!what", b"*frame-harness", b"*frame-harness proto=1", b"*frame-harness2 proto=1",
        b"*frame-harness proto=x build=a nonce=b",
        b"=1 panic file=a line=" + b"9" * 5000 + b" msg=c",
    ],
)  # fmt: skip
def test_line_that_breaks_its_marks_promise_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_line(raw)


def test_missing_field_is_named_with_those_that_came() -> None:
    fields = reply("=1 ok v=1").fields
    with pytest.raises(ProtocolError, match="expected paddr=, got v"):
        fields.int("paddr")
    assert "paddr" not in fields and fields.get("v") == "1"


@pytest.mark.parametrize(
    ("read", "text"), [("int", "v=x"), ("flag", "v=2"), ("bytes", "v=0g"), ("bytes", "v=123")]
)
def test_value_of_another_kind_is_refused(read: str, text: str) -> None:
    with pytest.raises(ProtocolError, match="reply: v"):
        getattr(parse_fields(text), read)("v")


def test_banner_says_who_speaks() -> None:
    banner = parse_line(BANNER)
    assert isinstance(banner, Banner)
    assert (banner.proto, banner.build, banner.nonce) == (1, "ab12", "cafe")
    assert banner.fields.int("hhdm") == 0xFFFF_8000_0000_0000


def test_outcome_of_one_command_of_a_batch_is_a_reply() -> None:
    index, outcome = parse_batch_line("3 fail OutOfMemory")
    assert (index, outcome.status, outcome.code) == (3, "fail", "OutOfMemory")
    with pytest.raises(ProtocolError):
        parse_batch_line("zone=dma free=1")


PANIC = [
    "panic file=src/memory/my frame.rs line=281 col=13",
    " msg frame in use",
    " bt 0xffffffff80101234",
    " bt 0x10",
]
EXCEPTION = [
    "exception vector=14 name=#PF error=0x2 rip=0xffffffff80101234 cr2=0x8",
    " reg rax=0x1 rbx=0x2",
    " reg rsp=0xffffffff80161f10",
    " bt 0xffffffff8010be72",
]


def test_panic_report_is_put_together() -> None:
    report = parse_crash(PANIC)
    assert (report.kind, report.file, report.line, report.column) == (
        "panic",
        "src/memory/my frame.rs",
        281,
        13,
    )
    assert report.message == "frame in use" and report.backtrace == (0xFFFFFFFF80101234, 0x10)
    assert report.describe() == "panic at src/memory/my frame.rs:281:13: frame in use"


def test_exception_report_is_put_together() -> None:
    report = parse_crash(EXCEPTION, complete=False)
    assert report.kind == "exception" and report.fields.int("vector") == 14
    assert report.registers == {"rax": 1, "rbx": 2, "rsp": 0xFFFFFFFF80161F10}
    assert "name=#PF" in report.describe() and report.describe().endswith("(the report is cut off)")


def test_panic_at_a_line_that_no_file_has_is_told_as_it_was_printed() -> None:
    head = f"panic file=a.rs line={'9' * 5000} col=1"
    report = parse_crash([head, " msg frame in use"])
    assert (report.message, report.complete) == (f"{head}; frame in use", False)


@pytest.mark.parametrize(
    "detail", [" stack cpu=0 name=main", " stack cpu=x name=main guard=0x1", " stack cpu=0 guard=1"]
)
def test_stack_that_a_report_does_not_name_is_none(detail: str) -> None:
    report = parse_crash(["exception vector=14 name=#PF rip=0x10", detail])
    assert (report.overflow, report.complete) == (None, False)
    assert report.describe() == "exception vector=14 name=#PF rip=0x10 (the report is cut off)"


def test_an_interrupt_that_a_call_let_in_is_told_in_words() -> None:
    report = parse_crash(["exception vector=49 name=stray rip=0x10"])
    assert report.describe().startswith(
        "interrupts were enabled in a call that is made with interrupts disabled"
    )
    assert report.describe().endswith("rip=0x10")


@pytest.mark.parametrize("head", ["exception vector=14", "exception vector=14 rip=here"])
def test_exception_at_no_address_is_told_as_it_was_printed(head: str) -> None:
    report = parse_crash([head])
    assert (report.message, report.complete, dict(report.fields)) == (head, False, {})


@pytest.mark.parametrize("lines", [[], ["end"], [" msg x"], ["panic"], ["bt 0x1"]])
def test_report_without_a_head_is_refused(lines: list[str]) -> None:
    with pytest.raises(ProtocolError):
        parse_crash(lines)


@pytest.mark.parametrize(
    "lines",
    [
        ["panic file=a"],
        ["exception "],
        ["exception x"],
        [*PANIC, " bt 0xffffffff=7 ok"],
        [*EXCEPTION, " reg rax=0x1=7 rbx"],
        [*PANIC, " cpu many"],
    ],
)
def test_report_that_another_cpu_wrote_into_is_incomplete_and_keeps_its_lines(lines: list[str]) -> None:
    report = parse_crash(lines)
    assert not report.complete and report.lines == tuple(lines)
    assert report.describe().endswith("(the report is cut off)")


def test_line_is_shown_so_that_no_terminal_acts_on_it() -> None:
    assert quote_line(b"=1 ok") == "=1 ok" and quote_line(b"\x1b[2J") == "'\\x1b[2J'"
    assert quote_line(b"=1 ok" + b"x" * 100_000) == f"=1 ok{'x' * 395} ... (100005 bytes)"
