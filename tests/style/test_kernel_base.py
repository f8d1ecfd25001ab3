"""Proves that everybody means the same address where the kernel is linked."""

from __future__ import annotations

import re

from frame_harness.base.units import KERNEL_VMA
from tests.support.modules import ROOT

NUMBER = re.compile(r"(?i)\b0xffff_?ffff_?8000_?0000\b")
COPIES = {
    "harness/frame_harness/base/units.py": r"KERNEL_VMA: Final = Vaddr\((\w+)\)",
    "kernel_shim/linker.ld": r"KERNEL_BASE = (\w+);",
    "kernel_shim/src/arch/paging.rs": r"KERNEL_BASE: u64 = (\w+);",
}
"""The linker, the guest and the host cannot read it from one place."""
KINDS = {".py", ".rs", ".ld", ".s", ".S", ".toml", ".sh"}
PLACES = ("harness", "kernel_shim")


def test_every_copy_of_the_kernel_s_base_is_the_same() -> None:
    for name, pattern in COPIES.items():
        found = re.findall(pattern, (ROOT / name).read_text(encoding="utf-8"))
        assert [int(number, 16) for number in found] == [KERNEL_VMA], name


def test_no_other_file_repeats_it() -> None:
    files = (path for place in PLACES for path in (ROOT / place).rglob("*") if path.suffix in KINDS)
    sources = {path.relative_to(ROOT).as_posix(): path for path in files if "target" not in path.parts}
    assert {name for name, path in sources.items() if NUMBER.search(path.read_text("utf-8"))} == set(COPIES)
