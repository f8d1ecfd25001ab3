"""Proves that the console's parsers return a value or refuse, whatever the bytes."""

from __future__ import annotations

import contextlib
import zlib
from itertools import groupby
from operator import itemgetter

from hypothesis import given
from hypothesis import strategies as st

from frame_harness.base.errors import DumpError, ProtocolError
from frame_harness.base.units import Pfn
from frame_harness.console import dump, ktap
from frame_harness.console.protocol import Fields, parse_batch_line, parse_crash, parse_fields, parse_line

MARKS = st.sampled_from(
    [b"", b"=", b"=1 ", b"=1 ok ", b"=1 panic ", b"!", b"! ", b"!panic ", b"*frame-harness ", b":", b"#"]
)
RAW = st.builds(
    lambda mark, rest: mark + rest, MARKS, st.binary(max_size=200).map(lambda b: b.replace(b"\n", b" "))
)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@given(RAW)
def test_any_line_is_a_value_or_a_broken_protocol(raw: bytes) -> None:
    try:
        parse_line(raw)
    except ProtocolError as error:
        assert "\n" not in error.summary


@given(
    st.lists(
        st.one_of(
            TEXT, TEXT.map(" reg {}".format), TEXT.map(" bt {}".format), TEXT.map("panic file={}".format)
        )
    )
)
def test_any_crash_report_is_a_value_or_a_broken_protocol(lines: list[str]) -> None:
    with contextlib.suppress(ProtocolError):
        parse_crash(lines)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_.]{1,8}", fullmatch=True), st.from_regex(r"[!-~]{0,9}", fullmatch=True)
    )
)
def test_fields_that_are_written_are_read_back(values: dict[str, str]) -> None:
    assert parse_fields(repr(Fields(values))) == values


@given(TEXT)
def test_any_batch_line_is_a_value_or_a_broken_protocol(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        parse_batch_line(text)


@given(
    st.lists(st.one_of(TEXT, st.sampled_from(["KTAP version 1", "1..2", "ok 1 - a", "not ok 2 - b", "# c"])))
)
def test_any_ktap_is_a_value_or_refused(lines: list[str]) -> None:
    try:
        result = ktap.parse(["KTAP version 1", *lines])
    except ProtocolError:
        return
    if result.passed:
        assert result.plan == len(result.tests) >= 1 and all(test.ok or test.skipped for test in result.tests)


@given(st.lists(TEXT))
def test_any_dump_is_a_value_or_refused(lines: list[str]) -> None:
    with contextlib.suppress(DumpError):
        dump.decode(lines, first_pfn=Pfn(0), count=4)


SLOT = st.sampled_from([bytes(64), b"\xff" * 16 + bytes(48), bytes(range(64))])
RUNS = st.lists(st.tuples(st.integers(1, 20), SLOT), min_size=1, max_size=6).map(
    lambda runs: [(sum(n for n, _ in alike), slot) for slot, alike in groupby(runs, key=itemgetter(1))]
)
"""Neighboring ones differ, as the guest writes them."""


def encode(first: int, runs: list[tuple[int, bytes]]) -> list[str]:
    raw = b"".join(slot * count for count, slot in runs)
    body = [f"{count} {slot.hex()}" for count, slot in runs]
    head = f"dump first={first} count={len(raw) // 64} slot=64"
    return [head, *body, f"end runs={len(runs)} crc={zlib.crc32(raw):#010x}"]


@given(st.integers(0, 1 << 40), RUNS)
def test_dump_that_is_written_is_read_back(first: Pfn, runs: list[tuple[int, bytes]]) -> None:
    raw = b"".join(slot * count for count, slot in runs)
    assert dump.decode(encode(first, runs), first_pfn=first, count=len(raw) // 64).raw == raw


@given(st.integers(0, 1 << 20), RUNS, st.data())
def test_any_one_byte_of_a_dump_that_changes_is_noticed(
    first: Pfn, runs: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    lines = encode(first, runs)
    count = sum(each for each, _ in runs)
    whole = "\n".join(lines)
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.characters(min_codepoint=0, max_codepoint=255).filter(lambda c: c != whole[at]))
    broken = whole[:at] + byte + whole[at + 1 :]
    try:
        dump.decode(broken.split("\n"), first_pfn=first, count=count)
    except DumpError:
        return
    raise AssertionError(f"byte {at}: {whole[at]!r} became {byte!r} unnoticed")


@given(st.integers(0, 1 << 20), RUNS, st.data())
def test_any_line_of_a_dump_that_is_lost_or_doubled_is_noticed(
    first: Pfn, runs: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    lines = encode(first, runs)
    at = data.draw(st.integers(0, len(lines) - 1))
    for broken in (lines[:at] + lines[at + 1 :], lines[: at + 1] + lines[at:]):
        try:
            dump.decode(broken, first_pfn=first, count=sum(each for each, _ in runs))
        except DumpError:
            continue
        raise AssertionError(f"line {at} was lost or doubled unnoticed")
