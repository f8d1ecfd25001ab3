"""The mutants that cargo-mutants makes, where that is installed: it knows more values of functions.

Its list is JSON: https://mutants.rs/list.html. Lines and columns count from 1, columns in characters.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from frame_harness.base.commands import run
from frame_harness.base.disk import scratch
from frame_harness.base.errors import HarnessError
from frame_harness.mutation.mutants import Operator
from frame_harness.mutation.source import Edit, RustSource

PROGRAM: Final = "cargo-mutants"
_MANIFEST: Final = '[workspace]\n[package]\nname = "subject"\nversion = "0.1.0"\nedition = "2021"\n'
_OPERATORS: Final = {
    "FnValue": Operator.FUNCTION_VALUE,
    "UnaryOperator": Operator.UNARY,
    "MatchArm": Operator.MATCH_ARM,
    "MatchArmGuard": Operator.MATCH_GUARD,
    "StructField": Operator.STRUCT_FIELD,
}
_OF_SIGN: Final = {
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), Operator.COMPARISON),
    **dict.fromkeys(("&&", "||"), Operator.LOGICAL),
    **dict.fromkeys((f"{sign}=" for sign in ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>")),
                    Operator.ASSIGNMENT),
}  # fmt: skip


class _Point(msgspec.Struct):
    line: int
    column: int


class _Span(msgspec.Struct):
    start: _Point
    end: _Point


class _Listed(msgspec.Struct):
    """One mutant of the list; what else it says is left out."""

    file: str
    genre: str
    replacement: str
    span: _Span


def listed(files: Mapping[str, bytes]) -> str:
    """Return the list of cargo-mutants for some files; an empty one where it is not installed.

    Raises:
        HarnessError: it failed.
    """
    if (program := shutil.which(PROGRAM)) is None:
        return "[]"
    with scratch("mutants") as folder:
        (folder / "Cargo.toml").write_text(_MANIFEST, encoding="utf-8")
        for name, text in files.items():
            path = folder / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
        modules = (f'#[path = "{name}"]\nmod m{number};\n' for number, name in enumerate(files))
        (folder / "src" / "lib.rs").write_text("".join(modules), encoding="utf-8")
        argv = (program, "mutants", "--list", "--json", "--diff", "--dir", folder)
        finished = run(argv, what="listing what cargo-mutants makes")
    if finished.status != 0:
        raise HarnessError(
            "mutants", PROGRAM, detail=finished.last_words(), next_step=f"update or remove {PROGRAM}"
        )
    return finished.out


def edits(text: str, source: RustSource) -> Iterator[Edit]:
    """Yield the edits that a list has for a file.

    Raises:
        HarnessError: it is no such list.
    """
    try:
        found = msgspec.json.decode(text, type=list[_Listed])
    except msgspec.DecodeError as error:
        raise HarnessError(
            "mutants", PROGRAM, expected="a list of mutants", actual=str(error),
            next_step=f"update or remove {PROGRAM}",
        ) from error  # fmt: skip
    for one in found:
        if Path(one.file) == Path("src", source.name):
            yield _edit(one, source)


def _edit(one: _Listed, source: RustSource) -> Edit:
    start, end = (_offset(source.text, point) for point in (one.span.start, one.span.end))
    if one.genre == "FnValue":
        node = source.tree.root_node.descendant_for_byte_range(start, end)
        while node is not None and node.type != "function_item":
            node = node.parent
        body = node.child_by_field_name("body") if node is not None else None
        if body is not None:
            return source.replaced(Operator.FUNCTION_VALUE, body, f"{{ {one.replacement} }}")
    sign = source.text[start:end].decode()
    operator = _OPERATORS.get(one.genre) or _OF_SIGN.get(sign, Operator.ARITHMETIC)
    return Edit(operator, start, end, one.replacement)


def _offset(text: bytes, point: _Point) -> int:
    lines = text.splitlines(keepends=True)
    before = sum(len(line) for line in lines[: point.line - 1])
    return before + len(lines[point.line - 1].decode()[: point.column - 1].encode())
