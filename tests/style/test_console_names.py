"""The guest writes the lines that the host reads, and both name what they share in a guest's memory alike.

The format strings of the Rust sources are filled in, as Rust would, and read by the host; nothing is built.
"""

from __future__ import annotations

import re
import zlib
from typing import get_args

import pytest

from frame_harness.base.errors import ProtocolError
from frame_harness.base.units import Pfn
from frame_harness.console import dump, protocol, stream
from frame_harness.guest import pool
from frame_harness.machine import exit_status
from tests.style.test_names import block, text_of, upper

ANSWER = block(text_of("parts/reply.rs"), "impl fmt::Display for Answer")
BANNER = text_of("src/console/banner.rs")
REPORT = text_of("src/report.rs")
DUMP = text_of("src/frame_commands/dump.rs")
EXIT = text_of("src/arch/exit.rs")

KINDS = {
    "LOG": protocol.Log,
    "BANNER": protocol.Banner,
    "CRASH": protocol.Crash,
    "CRASH_DETAIL": protocol.Crash,
    "DATA": protocol.Data,
    "REPLY": protocol.ReplyLine,
}
"""What the host takes a line for, by the guest's name of its mark."""
SAMPLES = {
    "LOG": "text",
    "BANNER": "frame-harness proto=1 build=00 nonce=-",
    "CRASH": "end",
    "CRASH_DETAIL": "msg text",
    "DATA": "text",
    "REPLY": "1 ok",
}
READ_OF_THE_BANNER = {"proto", "build", "nonce", "hhdm", "frames", "cpus", "profile"}
READ_OF_AN_EXCEPTION = {"vector", "name", "error", "rip", "cr2"}


def formats(text: str, macro: str = r"(?:write|format_args)!") -> list[str]:
    """The format strings of a Rust text, in its order."""
    return re.findall(rf'\b{macro}\(\s*(?:f, )?"([^"]*)"', text)


def filled(form: str, **values: object) -> str:
    """A format string with 1 for each value that is not given; Rust's forms of numbers are Python's, too."""
    names = dict.fromkeys(re.findall(r"\{(\w+)", form), 1) | values
    return form.format(*[1] * form.count("{"), **names)


def numbers(text: str, pattern: str) -> dict[str, int]:
    """Names with their numbers, as a pattern of two groups finds them."""
    return {name: int(value, 0) for name, value in re.findall(pattern, text)}


def replies(answer: str) -> list[str]:
    """What the guest writes behind `=<number> `."""
    return [filled(form, fields=" a=1", name="Name") for form in formats(answer)]


def test_the_host_reads_a_reply_of_each_status_that_the_guest_writes() -> None:
    lines = [protocol.parse_line(f"=1 {reply}".encode()) for reply in replies(ANSWER)]
    read = [line.status for line in lines if isinstance(line, protocol.ReplyLine)]
    assert len(read) == len(lines) and set(read) == set(get_args(protocol.Status))
    in_batches = [protocol.parse_batch_line(f"1 {reply}")[1].status for reply in replies(ANSWER)]
    assert in_batches == read


def test_the_mark_of_a_line_is_what_the_host_takes_it_for() -> None:
    inside = block(text_of("parts/output.rs"), "mod kind")
    marks = dict(re.findall(r'pub const (\w+): &str = "([^"]+)"', inside))
    read = {name: type(protocol.parse_line(f"{marks[name]}{SAMPLES[name]}".encode())) for name in marks}
    assert read == KINDS


def test_the_banner_has_the_words_that_the_host_reads() -> None:
    banner = protocol.parse_line(f"*{''.join(map(filled, formats(BANNER, 'write!')))}".encode())
    assert isinstance(banner, protocol.Banner)
    assert set(banner.fields) >= READ_OF_THE_BANNER


def test_versions_and_limits_of_the_protocol_are_equal() -> None:
    assert numbers(BANNER, r"const (PROTOCOL): u32 = (\d+)") == {"PROTOCOL": protocol.PROTOCOL_VERSION}
    longest = numbers(text_of("parts/input.rs"), r"const (MAX_LINE): usize = (\d+)")
    assert longest == {"MAX_LINE": protocol.MAX_REQUEST_BYTES}
    printed = numbers(text_of("parts/output.rs"), r"const (MAX_TEXT): usize = (\d+)")
    assert printed["MAX_TEXT"] + len("! ") + len(" ...") < stream.MAX_LINE_BYTES, "else the host cuts it"


def test_the_host_reads_every_line_of_a_crash_report() -> None:
    heads = [filled(form) for form in formats(REPORT) if form.startswith(("panic file", "exception "))]
    details = [f" {filled(form)}" for form in formats(REPORT) if re.match(r"(?:msg|cpu|stack|reg|bt) ", form)]
    read = [protocol.parse_crash([head, *details]) for head in heads]
    assert [one.kind for one in read] == ["panic", "exception"]
    assert (read[0].file, read[0].line, read[0].column) == ("1", 1, 1)
    assert set(read[1].fields) == READ_OF_AN_EXCEPTION
    for report in read:
        assert report.complete and report.cpu == 1 and report.message and report.backtrace == (1,)
        assert report.overflow is not None and set(report.overflow) == {"cpu", "name", "guard"}
        assert {"rax", "r15", "rip", "rflags", "cr4"} <= set(report.registers)
    assert {filled(form) for form in formats(REPORT) if protocol.Crash(form).is_end} == {"end"}


def test_the_host_decodes_a_dump_that_the_guest_writes() -> None:
    slot = bytes(range(dump.SLOT_BYTES))
    head, run, end = formats(DUMP.split("\nfn dump(")[1].partition("\n}\n")[0], "format_args!")
    lines = [
        filled(head, first=7, count=2, SLOT_BYTES=dump.SLOT_BYTES),
        run.format(slot.hex(), run=2),
        end.format(zlib.crc32(slot * 2), runs=1),
    ]
    assert dump.decode(lines, first_pfn=Pfn(7), count=2).raw == slot * 2


def test_the_host_decodes_the_checksums_that_the_guest_writes() -> None:
    listed = formats(DUMP.split("\nfn sums(")[1].partition("\n}\n")[0], "format_args!")
    head, one, end = (form for form in listed if "expected" not in form)
    lines = [
        filled(head, first=7, count=3, piece=2, SLOT_BYTES=dump.SLOT_BYTES),
        *(one.format(sum=value) for value in (5, 6)),
        end.format(zlib.crc32(bytes([5, 0, 0, 0, 6, 0, 0, 0])), pieces=2),
    ]
    assert dump.decode_sums(lines, first_pfn=Pfn(7), count=3, piece=2) == [5, 6]


def test_the_word_that_holds_a_guest_has_the_same_name_and_values() -> None:
    assert re.findall(r"#\[unsafe\(no_mangle\)\]\nstatic (\w+): AtomicU64", EXIT) == [pool._HOLD]
    assert re.findall(r'#\[inline\(never\)\]\nextern "C" fn (\w+)', EXIT) == [pool._STAND]
    held = {"HELD": pool._HELD, "STANDING": pool._STANDING}
    assert numbers(EXIT, r"const (\w+): u64 = (\d+)") == held
    assert numbers(EXIT, r"static (\w+): AtomicU64 = AtomicU64::new\((\d+)\)") == {pool._HOLD: pool._FREE}


def test_a_guest_s_last_write_is_the_status_that_the_host_waits_for() -> None:
    codes = numbers(block(text_of("parts/reply.rs"), "enum ExitCode"), r"(\w+) = (0x[0-9a-f]+)")
    wrote = {f"{upper(name)}_STATUS": code << 1 | 1 for name, code in codes.items()}
    assert wrote and wrote == {name: getattr(exit_status, name) for name in wrote}


@pytest.mark.parametrize("status", ["fail", "panic"])
def test_a_reply_of_another_status_is_seen(status: str) -> None:
    renamed = ANSWER.replace(f'"{status} ', '"other ')
    with pytest.raises(ProtocolError):
        for reply in replies(renamed):
            protocol.parse_line(f"=1 {reply}".encode())


def test_a_banner_of_other_words_is_seen() -> None:
    renamed = BANNER.replace("hhdm=", "window=")
    banner = protocol.parse_line(f"*{''.join(map(filled, formats(renamed, 'write!')))}".encode())
    assert isinstance(banner, protocol.Banner) and not set(banner.fields) >= READ_OF_THE_BANNER
