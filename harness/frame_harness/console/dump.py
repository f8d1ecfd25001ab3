"""Decodes a dump of the slot table.

A dump is a head, one line for each run of equal slots, an end that counts the runs with a CRC of all decoded
bytes:

    dump first=0x100 count=2048 slot=64
    2047 ffffffffffffffff…   (how many, 128 hex digits)
    1 ffff…
    end runs=2 crc=0x1234abcd

One that was asked for at most so many runs may end before the last slot, with all of these runs.

Where the slots are too different from each other for that, their checksums alone are asked for: a head, one
line for each piece of slots, an end that counts the pieces with a CRC of the checksums, each as 4 bytes,
little endian:

    sums first=0x100 count=2048 piece=1024 slot=64
    1234abcd
    0badcafe
    end pieces=2 crc=0x567890ab
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from frame_harness.base.errors import DumpError
from frame_harness.base.units import Pfn

SLOT_BYTES: Final = 64
CRC_SLOTS: Final = 1024
"""Of equal slots, so many are taken into the CRC at once: 64 KiB, which a CPU's cache holds."""
_NUMBER: Final = "(?:0x[0-9a-f]{1,16}|[0-9]{1,20})"
_HEAD: Final = re.compile(rf"dump first=({_NUMBER}) count=({_NUMBER}) slot=({_NUMBER})")
_RUN: Final = re.compile(r"([1-9][0-9]{0,19}) ([0-9a-f]+)")
_END: Final = re.compile(r"end runs=([0-9]{1,20}) crc=0x([0-9a-f]{8})")
_SUMS_HEAD: Final = re.compile(
    rf"sums first=({_NUMBER}) count=({_NUMBER}) piece=({_NUMBER}) slot=({_NUMBER})"
)
_SUM: Final = re.compile(r"[0-9a-f]{8}")
_SUMS_END: Final = re.compile(r"end pieces=([0-9]{1,20}) crc=0x([0-9a-f]{8})")


@dataclass(frozen=True)
class Dump:
    """Consecutive slots, as runs of equal ones."""

    first_pfn: Pfn
    """Number of the first slot's frame."""
    rows: npt.NDArray[np.uint8]
    """The bytes of a slot of each run, shape (n_runs, slot_bytes)."""
    repeats: tuple[int, ...]
    """How many slots each run has."""

    @property
    def slots(self) -> npt.NDArray[np.uint8]:
        """Shape (n_slots, slot_bytes): row i describes frame first_pfn + i."""
        return np.repeat(self.rows, self.repeats, axis=0) if self.repeats else self.rows

    @property
    def n_runs(self) -> int:
        """How many runs the guest printed."""
        return len(self.repeats)

    @property
    def n_slots(self) -> int:
        """How many slots the guest printed."""
        return sum(self.repeats)

    @property
    def raw(self) -> bytes:
        """The bytes of all slots, in the order of the slots."""
        return self.slots.tobytes()


def decode(
    lines: Sequence[str],
    *,
    first_pfn: Pfn,
    count: int,
    slot_bytes: int = SLOT_BYTES,
    most_runs: int | None = None,
) -> Dump:
    """Decode the data lines of one dump, which must be the dump that was asked for.

    Every byte of it is checked: what the CRC does not cover (head, counts, spelling) is compared with the
    request or has one spelling only.

    Args:
        most_runs: that were asked for; only a dump that has as many may have fewer slots.
    Raises:
        DumpError: anything is missing, left over, or different; `which` names the line.
    """
    if len(lines) < 2:
        raise DumpError("dump", "lines", expected="a head with an end", actual=f"{len(lines)} lines")
    wanted = {"first": first_pfn, "count": count, "slot": slot_bytes}
    _check_head(lines[0], _HEAD, "dump first=<pfn> count=<n> slot=<bytes>", wanted)
    repeats, rows = _read_runs(lines[1:-1], count, slot_bytes)
    end = _END.fullmatch(lines[-1])
    if end is None:
        raise DumpError("dump", _shown(len(lines), lines[-1]), expected="end runs=<n> crc=0x<8 hex digits>")
    if int(end[1]) != len(repeats):
        raise DumpError("dump", "runs", expected=end[1], actual=len(repeats))
    if sum(repeats) != count and len(repeats) != most_runs:
        raise DumpError("dump", "slots", expected=count, actual=sum(repeats))
    crc = _crc(rows, repeats)
    if crc != int(end[2], 16):
        raise DumpError("dump", "crc", expected=f"0x{end[2]}", actual=f"{crc:#010x}")
    split = next((at for at, (one, other) in enumerate(pairwise(rows), 3) if one == other), None)
    if split is not None:
        raise DumpError("dump", _shown(split, lines[split - 1]), expected="another slot than the run before")
    unique = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), slot_bytes)
    return Dump(first_pfn, unique, tuple(repeats))


def _crc(rows: Sequence[bytes], repeats: Sequence[int]) -> int:
    """The CRC-32 of all slots, without an array of them: of 5 GiB that is 80 MiB, each page of it a fault."""
    crc = 0
    for row, repeat in zip(rows, repeats, strict=True):
        whole, rest = divmod(repeat, CRC_SLOTS)
        for _ in range(whole):
            crc = zlib.crc32(row * CRC_SLOTS, crc)
        crc = zlib.crc32(row * rest, crc)
    return crc


def decode_sums(
    lines: Sequence[str], *, first_pfn: Pfn, count: int, piece: int, slot_bytes: int = SLOT_BYTES
) -> list[int]:
    """Decode the data lines of checksums: the CRC-32 of each piece of slots, in order.

    Raises:
        DumpError: anything is missing, left over, or different; `which` names the line.
    """
    if len(lines) < 2:
        raise DumpError("sums", "lines", expected="a head with an end", actual=f"{len(lines)} lines")
    wanted = {"first": first_pfn, "count": count, "piece": piece, "slot": slot_bytes}
    _check_head(lines[0], _SUMS_HEAD, "sums first=<pfn> count=<n> piece=<n> slot=<bytes>", wanted)
    for number, line in enumerate(lines[1:-1], 2):
        if not _SUM.fullmatch(line):
            raise DumpError("sums", _shown(number, line), expected="8 hex digits")
    sums = [int(line, 16) for line in lines[1:-1]]
    end = _SUMS_END.fullmatch(lines[-1])
    if end is None:
        raise DumpError("sums", _shown(len(lines), lines[-1]), expected="end pieces=<n> crc=0x<8 hex digits>")
    if not int(end[1]) == len(sums) == -(-count // piece):
        raise DumpError("sums", "pieces", expected=-(-count // piece), actual=f"{len(sums)}, told {end[1]}")
    crc = zlib.crc32(np.array(sums, dtype="<u4").tobytes())
    if crc != int(end[2], 16):
        raise DumpError("sums", "crc", expected=f"0x{end[2]}", actual=f"{crc:#010x}")
    return sums


def _check_head(line: str, form: re.Pattern[str], shape: str, wanted: Mapping[str, int]) -> None:
    head = form.fullmatch(line)
    if head is None:
        raise DumpError("dump", _shown(1, line), expected=shape)
    for (name, expected), text in zip(wanted.items(), head.groups(), strict=True):
        if _number(text) != expected:
            raise DumpError("dump", f"head, {name}", expected=expected, actual=text)


def _read_runs(lines: Sequence[str], count: int, slot_bytes: int) -> tuple[list[int], list[bytes]]:
    repeats: list[int] = []
    rows: list[bytes] = []
    total = 0
    for number, line in enumerate(lines, 2):
        run = _RUN.fullmatch(line)
        if run is None or len(run[2]) != 2 * slot_bytes:
            raise DumpError("dump", _shown(number, line), expected=f"<n> with {2 * slot_bytes} hex digits")
        total += int(run[1])
        if total > count:
            # Checked before anything is expanded: a damaged number must not cost memory.
            raise DumpError("dump", _shown(number, line), expected=f"{count} slots in all", actual=f"{total}")
        repeats.append(int(run[1]))
        rows.append(bytes.fromhex(run[2]))
    return repeats, rows


def _number(text: str) -> int:
    return int(text, 16) if text.startswith("0x") else int(text, 10)


def _shown(number: int, line: str) -> str:
    return f"line {number}, {line[:80]!r}"
