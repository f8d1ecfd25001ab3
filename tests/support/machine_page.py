"""Writes the tables of qemu/README.md from the classes that a machine definition is read into.

    .venv/bin/python -m tests.support.machine_page

A table stands between two marker lines; the text around it is written by hand.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from frame_harness.base.units import format_bytes
from frame_harness.machine.definition import Limits, Machine, known_machines, load_machine

PAGE = Path(__file__).resolve().parents[2] / "qemu" / "README.md"
TABLE = re.compile(r"(?ms)^(<!-- (\w+): made by [^\n]*-->\n)(.*?)^(<!-- end -->\n)")
NO_KEY = "name"
"""The name of a machine is the name of its file."""


def page(written: str) -> str:
    """The page with each of its tables made again."""
    tables = {"machines": _machines, "keys": lambda: _keys(Machine), "limits": _limits}
    found = [match[2] for match in TABLE.finditer(written)]
    if sorted(found) != sorted(tables):
        raise LookupError(
            f"{PAGE.name}: expected a place for each of {sorted(tables)}, found {sorted(found)}"
        )
    return TABLE.sub(lambda match: match[1] + "\n".join([*tables[match[2]](), match[4]]), written)


def _machines() -> Iterator[str]:
    yield from ("| machine | type | RAM | firmware | for |", "|---|---|---|---|---|")
    for machine in map(load_machine, known_machines()):
        ram = format_bytes(machine.ram)
        yield f"| `{machine.name}` | `{machine.type}` | {ram} | `{machine.firmware}` | {machine.summary} |"


def _limits() -> Iterator[str]:
    _, about = inspect.cleandoc(Limits.__doc__ or "").split("\n\n", maxsplit=1)
    yield from (about, "")
    yield from _keys(Limits)


def _keys(of: type[msgspec.Struct]) -> Iterator[str]:
    meanings = meanings_of(inspect.getsource(of))
    yield from ("| key | type, unit | default | meaning |", "|---|---|---|---|")
    # What must be written comes first.
    for field in sorted(msgspec.structs.fields(of), key=lambda field: not field.required):
        if field.name != NO_KEY:
            default = "*required*" if field.required else _default(field)
            yield f"| `{field.name}` | {_type(field.type)} | {default} | {meanings[field.name]} |"


def meanings_of(source: str) -> dict[str, str]:
    """The text under each attribute of a class.

    Raises:
        LookupError: an attribute that is a key has none.
    """
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    meanings = {}
    for node, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) != NO_KEY:
            if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
                raise LookupError(
                    f"{body.name}.{ast.unparse(node.target)}: no text under it says what it means"
                )
            meanings[ast.unparse(node.target)] = " ".join(str(after.value.value).split())
    return meanings


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if isinstance(value, msgspec.Struct):
        return "below"
    if isinstance(value, tuple):
        return "`{}`" if _type(field.type) == "table" else "`[]`"
    return (
        f"`{json.dumps(value)}`" if isinstance(value, str) else f"{value:g}" if value < 1000 else str(value)
    )


def _type(type_: Any) -> str:
    """The unit, and the range that a value must lie in."""
    if get_origin(type_) is Literal:
        *first, last = (f"`{word}`" for word in get_args(type_))
        return f"{', '.join(first)} or {last}"
    if get_origin(type_) is Annotated:
        meta = type_.__metadata__[0]
        span = f", {meta.ge} to {meta.le}" if meta.ge is not None else ""
        return f"{meta.title}{span}" + (f", more than {meta.gt}" if meta.gt is not None else "")
    return {str: "text"}.get(type_, "table")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
