"""A number of hardware or of a file format says which document it is from.

A hexadecimal literal of 0x10 or more in the shim or in any package has a comment that names a document of
DESIGN's table, or says that the number is ours: in its paragraph (the lines around it without an empty one),
or in the docstring of its function. What stands at the head of a module is not enough. Where registers are
programmed, the same holds of a bit that is written as a shift (`1 << 5`); shifts by 10, 20 and 30 are sizes
there, and those by 32 or more no bits of a register.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.style.comments import Comment, comments
from tests.style.test_sources import CITED
from tests.style.test_wording import ROOT, name_of
from tests.support.each import each

SHIM, PACKAGE = ROOT / "kernel_shim", ROOT / "harness" / "frame_harness"
HARDWARE = [
    *(SHIM / "src" / name for name in ("arch", "boot", "console", "cpus", "smp")),
    *(PACKAGE / name for name in ("console", "image", "machine")),
]
FOLDERS = [SHIM / "parts", SHIM / "src", PACKAGE]
EXAMPLES = SHIM / "parts" / "tests"  # what tests call with, and what they expect of it
FILES = sorted(
    path
    for folder in FOLDERS
    for path in folder.rglob("*")
    if path.suffix in (".py", ".rs", ".s") and EXAMPLES not in path.parents
)
_SAID = re.compile("|".join((*CITED.values(), r"\b[Oo]urs\b")))
_LITERAL = re.compile(r"\b0[xX][0-9a-fA-F_]+")
_SHIFT = re.compile(r"\b\d+(?:_?u(?:8|16|32|64))? ?<< ?(\d+)\b")
SIZES = (10, 20, 30)
LEAST = 0x10


def unexplained(path: Path, with_shifts: bool = False) -> Iterator[str]:
    """The lines with such a number about which no comment says where it is from."""
    lines = path.read_text(encoding="utf-8").splitlines()
    said = [one for one in comments(path) if _SAID.search(one.text)]
    functions = list(_functions(path))
    for number in sorted(_literals(path) | (_shifts(path) if with_shifts else set())):
        first, last = _paragraph(lines, number)
        scopes = [(first, last), *(scope for scope in functions if scope[0] <= number <= scope[1])]
        if not any(_explains(one, scope, at == 0) for one in said for at, scope in enumerate(scopes)):
            yield f"{number}: {lines[number - 1].strip()}"


def _literals(path: Path) -> set[int]:
    """The lines of the literals in code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        return {
            token.start[0]
            for token in tokens
            if token.type == tokenize.NUMBER
            and _LITERAL.match(token.string)
            and int(token.string, 16) >= LEAST
        }
    found = set[int]()
    for number, line in enumerate(text.splitlines(), start=1):
        code = re.sub(r'"(?:\\.|[^"\\])*"', "", line).partition("//")[0]
        if any(int(literal, 16) >= LEAST for literal in _LITERAL.findall(code)):
            found.add(number)
    return found


def _shifts(path: Path) -> set[int]:
    """The lines of code in which a number is shifted by a number, as bits of a register are written."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        lines = dict[int, str]()
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.NUMBER, tokenize.OP, tokenize.NAME):
                lines[token.start[0]] = f"{lines.get(token.start[0], '')} {token.string}"
    else:
        codes = (re.sub(r'"(?:\\.|[^"\\])*"', "", line).partition("//")[0] for line in text.splitlines())
        lines = dict(enumerate(codes, start=1))
    shifts = {number: [int(by) for by in _SHIFT.findall(line)] for number, line in lines.items()}
    return {number for number, by in shifts.items() if any(one < 32 and one not in SIZES for one in by)}


def _paragraph(lines: list[str], number: int) -> tuple[int, int]:
    first = last = number
    while first > 1 and lines[first - 2].strip():
        first -= 1
    while last < len(lines) and lines[last].strip():
        last += 1
    return first, last


def _functions(path: Path) -> Iterator[tuple[int, int]]:
    """The lines from a function's first one to its last; in Python alone, whose docstrings stand inside."""
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
                yield node.lineno, node.end_lineno or node.lineno


def _explains(comment: Comment, scope: tuple[int, int], is_paragraph: bool) -> bool:
    first, last = scope
    if is_paragraph:
        return first <= comment.first <= last
    return first < comment.first <= first + 6  # the docstring, behind a signature of some lines


@each(FILES, ids=name_of)
def test_a_number_of_hardware_or_of_a_format_says_where_it_is_from(path: Path) -> None:
    assert list(unexplained(path, any(folder in path.parents for folder in HARDWARE))) == []


@pytest.mark.parametrize(
    ("name", "text", "is_explained"),
    [
        ("a.rs", "const PORT: u16 = 0x3f8;\n", False),
        ("a.rs", "/// The port.\nconst PORT: u16 = 0x3f8;\n", False),
        ("a.rs", "/// SDM.\nconst A: u8 = 0;\n\nconst PORT: u16 = 0x3f8;\n", False),
        ("a.rs", 'const SMALL: u8 = 0xf;\nconst WORD: &str = "0x3f8";\n', True),
        ("a.rs", "//! Intel SDM vol. 3A, 11.4.\n\nconst PORT: u16 = 0x3f8;\n", False),
        ("a.rs", "/// SDM vol. 3A, 11.4.\nconst A: u8 = 0;\nconst PORT: u16 = 0x3f8;\n", True),
        ("a.rs", "use a::b;\n\n/// Ours: nobody else has it.\nconst PORT: u16 = 0x3f8;\n", True),
        ("a.s", "    mov $0x80, %eax        // SDM vol. 2A, CPUID\n", True),
        ("a.s", "    mov $0x80, %eax        // the leaf\n", False),
        ("a.py", "LONG = 0xFFFFFFFF\n", False),
        ("a.py", 'LONG = 0xFFFFFFFF\n"""DWARF 5 section 7.4."""\n', True),
        ("a.py", 'def f(a):\n    """DWARF 5 section 7.6."""\n    b = a\n\n    return b & 0x7F\n', True),
        ("a.py", 'def f(a):\n    """What it is."""\n    return a & 0x7F\n', False),
        ("a.rs", "const READY: u8 = 1 << 5;\n", False),
        ("a.rs", "const READY: u8 = 1 << 5; // (datasheet, table II)\n", True),
        ("a.rs", "const SIZE: u64 = 2 << 20; // 1 << 5\n", True),
        ("a.s", "    mov $(1 << 5), %eax\n", False),
        ("a.py", "READY = 1 << 5\n", False),
        ("a.py", 'LARGE = 1 << 63\nBLOCK = 1 << order\nWORD = "1 << 5"\n', True),
    ],
)
def test_a_number_without_a_source_is_seen(name: str, text: str, is_explained: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert (list(unexplained(path, with_shifts=True)) == []) == is_explained
