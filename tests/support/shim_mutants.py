"""A copy of the project whose buddy breaks the promises that the frame module alone cannot break."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frame_harness.base.disk import write_whole
from frame_harness.base.resources import build_dir
from tests.support.mutants import Edit, apply
from tests.support.red_kernels import LEFT_OUT, PARTS, ROOT


@dataclass(frozen=True)
class ShimMutant:
    """One bug in one file of the shim; none is in the way of another."""

    name: str
    file: str
    edits: tuple[Edit, ...]
    clauses: frozenset[str]


def mutant(name: str, clauses: str, file: str, *edits: Edit) -> ShimMutant:
    return ShimMutant(name, file, edits, frozenset(clauses.split()))


SHIM_MUTANTS = [
    mutant(
        "blocks of 8 frames are never merged",
        "FREE-05 FREE-09",
        "parts/buddy/lists.rs",
        ("while (merged.order as usize) < MAX_ORDER && ", "while merged.order < 3 && "),
    ),
    mutant(
        "a poisoned block is as good as any other",
        "GUARD-07",
        "parts/buddy.rs",
        ("        if poisoned {\n", "        if poisoned && order > 11 {\n"),
    ),
    mutant(
        "hooks are called from the last frame on",
        "VT-05",
        "src/memory/release.rs",
        ("for index in 0..1 << order {", "for index in (0..1 << order).rev() {"),
    ),
    mutant(
        "interrupts stay as they are",
        "VT-06",
        "src/sync/irq.rs",
        ("use x86_64::instructions::interrupts::without_interrupts;\n", ""),
        ("without_interrupts(|| f(&IrqDisabledToken(())))", "f(&IrqDisabledToken(()))"),
    ),
    mutant(
        "no order is too large",
        "FRAME-05",
        "src/memory/buddy.rs",
        ("return Err(AllocError::InvalidOrder);", "return Err(AllocError::OutOfMemory);"),
    ),
    mutant(
        "frames of the cache are counted twice",
        "FREE-06",
        "parts/buddy/cache.rs",
        (
            ".push(pfn_to_paddr(pfn));\n        self.zone_of(pfn).cached += 1;\n",
            ".push(pfn_to_paddr(pfn));\n        self.zone_of(pfn).cached += 2;\n",
        ),
    ),
]
SELECTION = (
    "(FREE-09 or GUARD-07 or VT-05 or VT-06 or FRAME-05) and not test_w_ and not test_s_"
    " or (FREE-05 or FREE-06) and test_w_whole_memory and whole]"
)


UNCOUNTED = mutant(
    "a frame that a CPU hands out by itself is not counted",
    "FREE-03 FREE-06",
    "parts/buddy/lent_caches.rs",
    ("        self.handed_out[Zone::of(pfn) as usize] += 1;\n", ""),
)
"""Shows where several CPUs work, beside no other bug."""


def broken_project(name: str, bugs: Sequence[ShimMutant]) -> tuple[Path, Path]:
    """Return a copy of the project with some bugs in it, and its build folder; both stay for next time."""
    home = build_dir() / "mutants" / name
    copy, cache = home / "project", home / "build"
    for part in PARTS:
        shutil.rmtree(copy / part, ignore_errors=True)
        shutil.copytree(ROOT / part, copy / part, ignore=LEFT_OUT)
    for bug in bugs:
        path = copy / "kernel_shim" / bug.file
        write_whole(path, apply(path.read_text(encoding="utf-8"), bug.edits, name=bug.name).encode())
    return copy, cache
