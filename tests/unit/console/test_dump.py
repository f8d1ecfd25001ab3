"""Proves that a dump is whole, or refused."""

from __future__ import annotations

import zlib

import pytest

from frame_harness.base.errors import DumpError
from frame_harness.base.units import Pfn
from frame_harness.console import dump

FREE, LIVE = b"\xff" * 16 + bytes(48), bytes(range(64))


def lines_of(first: int, runs: list[tuple[int, bytes]]) -> list[str]:
    raw = b"".join(slot * count for count, slot in runs)
    count = sum(count for count, _ in runs)
    body = [f"{count} {slot.hex()}" for count, slot in runs]
    return [
        f"dump first={first} count={count} slot=64",
        *body,
        f"end runs={len(runs)} crc={zlib.crc32(raw):#010x}",
    ]


GOOD = lines_of(256, [(3, FREE), (1, LIVE), (2, FREE)])


def test_runs_are_expanded_in_order() -> None:
    found = dump.decode(GOOD, first_pfn=Pfn(256), count=6)
    assert found.raw == FREE * 3 + LIVE + FREE * 2
    assert (found.first_pfn, found.n_slots, found.n_runs) == (256, 6, 3)
    assert found.slots.shape == (6, 64)


def test_head_may_be_hexadecimal() -> None:
    lines = [GOOD[0].replace("256", "0x100"), *GOOD[1:]]
    assert dump.decode(lines, first_pfn=Pfn(256), count=6).n_slots == 6


def test_dump_of_nothing_is_whole() -> None:
    assert dump.decode(lines_of(0, []), first_pfn=Pfn(0), count=0).raw == b""


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ([], "lines"),
        (GOOD[:1], "lines"),
        (GOOD[:-1], "line 4"),
        (GOOD[1:], "line 1"),
        ([*GOOD, GOOD[1]], "line 5"),
        ([*GOOD, *GOOD], "line 5"),
        ([GOOD[0], *GOOD[2:]], "runs"),
        ([GOOD[0], GOOD[2], GOOD[1], *GOOD[3:]], "crc"),
        ([GOOD[0], GOOD[1].replace("3 ", "4 "), *GOOD[2:]], "slots in all"),
        ([GOOD[0], GOOD[1].replace("3 ", "2 "), *GOOD[2:]], "slots"),
        ([GOOD[0], "0 " + FREE.hex(), *GOOD[1:]], "line 2"),
        ([GOOD[0], GOOD[1].upper(), *GOOD[2:]], "line 2"),
        ([GOOD[0], GOOD[1][:-1], *GOOD[2:]], "line 2"),
        ([GOOD[0], GOOD[1] + "0", *GOOD[2:]], "line 2"),
        ([GOOD[0].replace("slot=64", "slot=32"), *GOOD[1:]], "slot"),
        (lines_of(256, [(1, FREE), (2, FREE), (1, LIVE), (2, FREE)]), "line 3.*another slot"),
        ([*GOOD[:-1], GOOD[-1].upper()], "line 5"),
        ([*GOOD[:-1], GOOD[-1] + " "], "line 5"),
    ],
)
def test_dump_that_is_not_whole_is_refused(broken: list[str], what: str) -> None:
    with pytest.raises(DumpError, match=what):
        dump.decode(broken, first_pfn=Pfn(256), count=6)


def test_dump_of_other_frames_than_asked_for_is_refused() -> None:
    with pytest.raises(DumpError, match="first: expected 255"):
        dump.decode(GOOD, first_pfn=Pfn(255), count=6)
    with pytest.raises(DumpError, match="count: expected 7"):
        dump.decode(GOOD, first_pfn=Pfn(256), count=7)


def test_damaged_run_length_costs_no_memory() -> None:
    lines = [GOOD[0], "99999999999999999999 " + FREE.hex(), *GOOD[2:]]
    with pytest.raises(DumpError, match="slots in all"):
        dump.decode(lines, first_pfn=Pfn(256), count=6)


SUMS = [1, 0xDEADBEEF, 0]
GOOD_SUMS = [
    "sums first=256 count=5 piece=2 slot=64",
    *(f"{sum_:08x}" for sum_ in SUMS),
    f"end pieces=3 crc={zlib.crc32(b''.join(sum_.to_bytes(4, 'little') for sum_ in SUMS)):#010x}",
]


def test_sums_come_in_order() -> None:
    assert dump.decode_sums(GOOD_SUMS, first_pfn=Pfn(256), count=5, piece=2) == SUMS


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ([], "lines"),
        (GOOD_SUMS[1:], "line 1"),
        (GOOD_SUMS[:-1], "line 4"),
        ([*GOOD_SUMS[:2], *GOOD_SUMS[3:]], "pieces"),
        ([GOOD_SUMS[0], GOOD_SUMS[1].replace("1", "2"), *GOOD_SUMS[2:]], "crc"),
        ([GOOD_SUMS[0], GOOD_SUMS[2], GOOD_SUMS[1], *GOOD_SUMS[3:]], "crc"),
        ([GOOD_SUMS[0], GOOD_SUMS[1] + "0", *GOOD_SUMS[2:]], "line 2"),
        ([GOOD_SUMS[0].replace("count=5", "count=6"), *GOOD_SUMS[1:]], "count"),
        ([GOOD_SUMS[0].replace("piece=2", "piece=1"), *GOOD_SUMS[1:]], "piece"),
    ],
)
def test_sums_that_are_not_whole_are_refused(broken: list[str], what: str) -> None:
    with pytest.raises(DumpError, match=what):
        dump.decode_sums(broken, first_pfn=Pfn(256), count=5, piece=2)


def test_only_a_dump_with_all_the_runs_that_were_asked_for_may_end_early() -> None:
    short = [*GOOD[:3], f"end runs=2 crc={zlib.crc32(FREE * 3 + LIVE):#010x}"]
    assert dump.decode(short, first_pfn=Pfn(256), count=6, most_runs=2).n_slots == 4
    for most_runs in (None, 3):
        with pytest.raises(DumpError, match="slots: expected 6"):
            dump.decode(short, first_pfn=Pfn(256), count=6, most_runs=most_runs)
