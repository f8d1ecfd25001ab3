"""A kernel that counts by itself what it runs (`-C instrument-coverage`), with no runtime in the guest.

The host reads the counters in guest RAM, and in the ELF file which regions of the text they count. So this
shows which lines ran without QEMU's log and without line tables.
Source: LLVM 19 to 22, docs/CoverageMappingFormat.rst; llvm/ProfileData/InstrProfData.inc.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

from frame_harness.base import resources
from frame_harness.base.profiles import COVERAGE
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.image import cargo, store
from frame_harness.image.build import lock_of
from frame_harness.image.elf import open_elf
from frame_harness.image.image import Image
from frame_harness.image.offer import lacking_names
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from tests.support.mutants import Edit, apply

# The runtime that would write a file is for programs with an operating system. Its name alone is asked for.
FLAGS = ("-Cinstrument-coverage", "-Zno-profiler-runtime")
LINKER: tuple[Edit, ...] = (
    (
        "        *(.got .got.*)\n",
        "        *(.got .got.*)\n"
        "        . = ALIGN(16);\n"
        "        __prf_data_start = .;\n"
        "        KEEP(*(__llvm_prf_data))\n"
        "        __prf_data_end = .;\n"
        "        KEEP(*(__llvm_prf_cnts))\n"
        "        KEEP(*(__llvm_prf_names))\n"
        "        __llvm_profile_runtime = .;\n",
    ),
    (
        "    /DISCARD/ : {\n",
        "    __llvm_covmap 0 : { KEEP(*(__llvm_covmap)) } :NONE\n"
        "    __llvm_covfun 0 : { KEEP(*(__llvm_covfun)) } :NONE\n"
        "    /DISCARD/ : {\n",
    ),
)
LEFT_OUT = shutil.ignore_patterns("target")

MAP_HEADER = struct.Struct("<IIII")  # records (none), bytes of file names, bytes of mappings (none), version
FUNCTION_HEADER = struct.Struct(
    "<QIQQ"
)  # hash of the name, bytes of the mapping, hash of the body, of the names
DATA = struct.Struct("<QQqqQQI12x")  # hashes of name, body; where its counters are from here; …; how many
GAP = 1 << 31  # in the column where a region ends: it is between two statements
CODE, EXPANSION, SKIPPED, BRANCH, DECISION, DECISION_BRANCH = 0, 1, 2, 4, 5, 6

Position = tuple[int, int]
Counts = Mapping[int, int]


@dataclass(frozen=True)
class Region:
    """A part of a text, from a line and column to before another, and how often it ran."""

    begin: Position
    end: Position
    count: int


@contextlib.contextmanager
def instrumented_shim() -> Iterator[None]:
    """Let this process build a shim whose linker script has a place for the counters."""
    copy = resources.build_dir() / "mutants" / f"instrumented-{_digest()}" / "kernel_shim"
    with store.locked("instrumented-shim"):
        if not copy.is_dir():
            shutil.copytree(
                resources.shim_dir(), copy.with_name("making"), ignore=LEFT_OUT, dirs_exist_ok=True
            )
            script = copy.with_name("making") / "linker.ld"
            script.write_text(apply(script.read_text(encoding="utf-8"), LINKER), encoding="utf-8")
            copy.with_name("making").rename(copy)
    with mock.patch.object(resources, "shim_dir", lambda: copy):
        yield


def instrumented_image(subject: Subject) -> Image:
    """Build a kernel around a subject that counts, in the profile for coverage."""
    toolchain = find_toolchain()
    folder = cargo.target_dir_of(toolchain)
    words = ("--message-format=json", "--", *FLAGS)
    order = cargo.shim_invocation("rustc", subject, COVERAGE, folder, toolchain, *words)
    order = replace(
        order, settings=order.settings | {"RUSTC_BOOTSTRAP": "1"}
    )  # for `-Z` in a stable compiler
    order = order.lacking(lacking_names(subject, COVERAGE, toolchain))
    with store.locked(lock_of(toolchain, COVERAGE)):
        built = cargo.compile_shim(subject, COVERAGE, order)
        elf, sha256 = store.keep_elf(built.elf)
    return Image(elf, sha256, COVERAGE, subject)


def lines_that_ran(kernel: Kernel, source: Path) -> dict[int, bool]:
    """Return of each line of a file that some region covers whether it ran, as llvm-cov decides it."""
    regions = [region for region in _regions(kernel, str(source))]
    lines = {line for region in regions for line in range(region.begin[0], region.end[0] + 1)}
    found = {}
    for line in lines:
        begun = [region for region in regions if region.begin[0] == line]
        around = [region for region in regions if region.begin < (line, 0) and region.end > (line, 0)]
        innermost = (
            [max(around, key=lambda region: (region.begin, [-part for part in region.end]))] if around else []
        )
        if begun or innermost:
            found[line] = any(region.count for region in (*begun, *innermost))
    return found


def _regions(kernel: Kernel, source: str) -> Iterator[Region]:
    counters = _counters(kernel)
    elf = open_elf(kernel.image.elf)
    files = _file_names(_section(elf, "__llvm_covmap"))
    for name, names, mapping in _functions(_section(elf, "__llvm_covfun")):
        reader = _Mapping(mapping, counters.get(name, {}))
        for index, region in reader.regions():
            if files[names][index] == source:
                yield region


def _section(elf: object, name: str) -> bytes:
    return bytes(elf.get_section_by_name(name).data())  # type: ignore[attr-defined]


def _counters(kernel: Kernel) -> dict[int, Counts]:
    """Return the counters of each function in guest RAM, by the hash of its name."""
    start, end = (kernel.image.symbol(name)[0] for name in ("__prf_data_start", "__prf_data_end"))
    data = kernel.bytes_at(start, end - start).tobytes()
    found: dict[int, Counts] = {}
    for place in range(0, len(data), DATA.size):
        name, _, distance, _, _, _, count = DATA.unpack_from(data, place)
        values = kernel.bytes_at(start + place + distance, 8 * count).view("<u8")
        found[name] = dict(enumerate(map(int, values)))
    return found


def _file_names(data: bytes) -> dict[int, list[str]]:
    """Return the files of each unit, by the hash of the names; the first is the compiler's folder."""
    found = {}
    at = 0
    while at + MAP_HEADER.size <= len(data):
        _, size, _, _ = MAP_HEADER.unpack_from(data, at)
        begin = at + MAP_HEADER.size
        blob = data[begin : begin + size]
        key = int.from_bytes(hashlib.md5(blob, usedforsecurity=False).digest()[:8], "little")
        found[key] = _names(blob)
        at = -(-(begin + size) // 8) * 8
    return found


def _names(blob: bytes) -> list[str]:
    count, at = _uleb(blob, 0)
    _, at = _uleb(blob, at)
    packed, at = _uleb(blob, at)
    raw, at = (zlib.decompress(blob[at : at + packed]), 0) if packed else (blob, at)
    names: list[str] = []
    for _ in range(count):
        size, at = _uleb(raw, at)
        names.append(raw[at : at + size].decode())
        at += size
    return [names[0], *(str(Path(names[0]) / name) for name in names[1:])]


def _functions(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Return (hash of its name, hash of its files' names, mapping) of each function."""
    at = 0
    while at + FUNCTION_HEADER.size <= len(data):
        name, size, _, names = FUNCTION_HEADER.unpack_from(data, at)
        begin = at + FUNCTION_HEADER.size
        yield name, names, data[begin : begin + size]
        at = -(-(begin + size) // 8) * 8


class _Mapping:
    """Reads the regions of one function."""

    def __init__(self, data: bytes, counters: Counts) -> None:
        self._data, self._at, self._counters = data, 0, counters
        self._files = [self._next() for _ in range(self._next())]
        self._expressions = [(self._next(), self._next()) for _ in range(self._next())]

    def regions(self) -> Iterator[tuple[int, Region]]:
        """Return each region of code with the place of its file."""
        for file in self._files:
            line = 0
            for _ in range(self._next()):
                header = self._next()
                kind = self._kind(header)
                line += self._next()
                begin = line, self._next()
                height, column = self._next(), self._next()
                if kind == CODE and not column & GAP:
                    yield (
                        file,
                        Region(begin, (line + height, column), self._value(header if header & 3 else 0)),
                    )

    def _kind(self, header: int) -> int:
        """Tell what a region is, and pass over what only regions of its kind have."""
        if header & 3:
            return CODE
        if header & 4:
            return EXPANSION
        kind = header >> 3
        more = {BRANCH: 2, DECISION: 2, DECISION_BRANCH: 5}.get(kind, 0)
        for _ in range(more):
            self._next()
        return kind

    def _value(self, counter: int) -> int:
        """Return how often it ran: nothing, a counter, a difference or a sum."""
        kind, which = counter & 3, counter >> 2
        if kind == 0:
            return 0
        if kind == 1:
            return self._counters.get(which, 0)
        left, right = map(self._value, self._expressions[which])
        return left - right if kind == 2 else left + right

    def _next(self) -> int:
        value, self._at = _uleb(self._data, self._at)
        return value


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _digest() -> str:
    total = hashlib.sha256(repr(LINKER).encode())
    for path in sorted(resources.shim_dir().rglob("*")):
        if path.is_file() and "target" not in path.parts:
            total.update(os.fsencode(path.relative_to(resources.shim_dir())) + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]
