"""Addresses and frame numbers have their types wherever they have a name."""

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
CALLER = """
from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn, pfn_to_paddr

def slot_of(paddr: Paddr) -> None: ...

paddr, pfn = Paddr(0x1000), Pfn(1)
"""


def plain_ones(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) of each parameter and annotated name for an address or a frame number that says `int`."""
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


def test_no_signature_calls_an_address_or_a_frame_number_int() -> None:
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


def test_mypy_rejects_a_frame_number_where_an_address_is_wanted(
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
