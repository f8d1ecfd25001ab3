"""Addresses and pfns have their types wherever they have a name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import mypy.api
import pytest

HARNESS = Path(__file__).resolve().parents[2] / "harness"
FILES = sorted((HARNESS / "frame_harness").rglob("*.py"))
PLAIN = re.compile(r"\bint\b")
NAMES = {"paddr", "pfn", "vaddr"}
SHIM = HARNESS.parent / "kernel_shim"
CONVERSION = re.compile(r"(?:fn|def) (\w+_to_\w+)\(\w+: \w+")
BY_HAND = {
    # `pfn << PAGE_SHIFT`, `paddr >> 12`, `1 << 12` is a size or a bit
    "py": re.compile(r"(?<!\b1 )(?:<<|>>) (?:PAGE_SHIFT|12)\b"),
    # `pfn * PAGE_SIZE`, `paddr / PAGE_SIZE`
    "rs": re.compile(r"pfn\w* \* PAGE_SIZE|(?:paddr|link) / PAGE_SIZE"),
}
ALLOWED = {
    "debugging/in_gdb.py": "runs in gdb's Python, which has no package of ours",
    "base/units.py": "the family itself",
    "bench/large_states.py": "of whole arrays",
}
CALLER = """
from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn, pfn_to_paddr

def slot_of(paddr: Paddr) -> None: ...

paddr, pfn = Paddr(0x1000), Pfn(1)
"""


def plain_ones(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) of each parameter and annotated name for an address or a pfn that says `int`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            name, kind = node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name | ast.Attribute):
            name = node.target.id if isinstance(node.target, ast.Name) else node.target.attr
            kind = node.annotation
        else:
            continue
        if kind is not None and name.rpartition("_")[2] in NAMES and PLAIN.search(ast.unparse(kind)):
            yield node.lineno, name


def test_no_signature_calls_an_address_or_a_pfn_int() -> None:
    found = [
        f"{file.relative_to(HARNESS)}:{line}: {name}"
        for file in FILES
        if any(name in (text := file.read_text(encoding="utf-8")) for name in NAMES)
        for line, name in plain_ones(ast.parse(text))
    ]
    assert len(FILES) > 100
    assert found == []


def test_a_plain_int_is_seen_wherever_an_annotation_can_be() -> None:
    text = """
def f(paddr: int, /, first_pfn: int | None, *, n_pfns: int, fine_paddr: Paddr) -> None:
    vaddr: int = 0

class Slot:
    meta_paddr: "int"
    def __init__(self) -> None:
        self.end_pfn: int = 0
"""
    assert sorted(name for _, name in plain_ones(ast.parse(text))) == [
        "end_pfn", "first_pfn", "meta_paddr", "paddr", "vaddr",
    ]  # fmt: skip


def test_conversions_have_the_same_names_in_both_languages() -> None:
    in_rust = set(CONVERSION.findall((SHIM / "parts" / "lib.rs").read_text(encoding="utf-8")))
    in_python = set(CONVERSION.findall((HARNESS / "frame_harness/base/units.py").read_text(encoding="utf-8")))
    assert len(in_rust) == 2 and in_rust <= in_python


def by_hand(text: str, language: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if BY_HAND[language].search(line)]


def test_addresses_and_pfns_are_converted_by_that_family_alone() -> None:
    subject = SHIM / "src" / "memory" / "frame.rs"
    rust = [file for part in ("src", "parts") for file in (SHIM / part).rglob("*.rs") if file != subject]
    rust = [file for file in rust if "tests" not in file.parts and file != SHIM / "parts" / "lib.rs"]
    python = [file for file in FILES if str(file.relative_to(HARNESS / "frame_harness")) not in ALLOWED]
    found = {
        str(file.relative_to(HARNESS.parent)): lines
        for files, language in ((python, "py"), (rust, "rs"))
        for file in files
        if (lines := by_hand(file.read_text(encoding="utf-8"), language))
    }
    assert len(rust) > 50 and found == {}


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("frame = pfn << PAGE_SHIFT", "py"), ("row = slots[paddr >> 12]", "py"),
        ("let paddr = first_pfn * PAGE_SIZE;", "rs"), ("let pfn = block.paddr / PAGE_SIZE;", "rs"),
    ],
)  # fmt: skip
def test_conversion_by_hand_is_seen(line: str, language: str) -> None:
    assert by_hand(line, language)
    assert by_hand("if link % (1 << PAGE_SHIFT)", language) == by_hand("FLAG = 1 << 12", language) == []


def test_mypy_rejects_a_pfn_where_an_address_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYPYPATH", str(HARNESS))
    calls = {
        "slot_of(paddr)": "",
        "slot_of(pfn_to_paddr(pfn))": "",
        "slot_of(pfn)": '"Pfn"; expected "Paddr"',
        "slot_of(paddr_to_pfn(paddr))": '"Pfn"; expected "Paddr"',
        "slot_of(0x1000)": '"int"; expected "Paddr"',
        "pfn_to_paddr(paddr)": '"Paddr"; expected "Pfn"',
    }
    file = tmp_path / "caller.py"
    file.write_text(CALLER + "\n".join(calls), encoding="utf-8")
    told, trouble, _ = mypy.api.run(["--strict", "--config-file=", f"--cache-dir={tmp_path}", str(file)])
    said = dict(
        re.findall(r"(?m)caller\.py:(\d+): error: .* has incompatible type (.*)  \[arg-type\]$", told)
    )
    first = CALLER.count("\n") + 1
    assert trouble == ""
    assert {call: said.get(str(first + at), "") for at, call in enumerate(calls)} == calls
