"""Writes docs/api.md from the docstrings of what a user's test holds in its hands.

    .venv/bin/python -m tests.support.api_page

From the source text, not from the imported objects: signatures look the same whatever Python it runs on.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "api.md"
HEAD = """\
# What a test holds in its hands

Made from the docstrings by `.venv/bin/python -m tests.support.api_page`; do not edit. A first test is in
[README.md](../README.md#your-own-tests).
"""
CLASSES = (
    ("frame_guest/kernel.py", "Kernel"), ("guest/programmed.py", "ProgrammedGuest"),
    ("guest/booted.py", "BootedGuest"), ("guest/boot_options.py", "BootOptions"),
    ("frame_guest/slot.py", "Slot"),
    ("guest/reply.py", "Reply"), ("guest/view.py", "Region"),
    ("guest/view.py", "GuestAddresses"), ("image/image.py", "Image"),
)  # fmt: skip
ERRORS = ("SubjectPanic", "AllocFailed", "CommandRefused", "GuestFailure", "GuestCrashed", "GuestTimeout")
CHECKS = ("ClauseViolated", "expect", "expect_loud", "expect_panic", "number")

Function = ast.FunctionDef
Node = ast.FunctionDef | ast.ClassDef


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## Fixtures\n", *map(_fixture, _fixtures()), "## Markers\n", *_markers()]
    for file, name in CLASSES:
        parts += [
            f"## {name}\n",
            f"`frame_harness.{file[:-3].replace('/', '.')}`\n",
            *_class(_find(file, name)),
        ]
    parts.append("## Errors\n\n`frame_harness.guest.errors`\n")
    parts += [_entry(_find("guest/errors.py", name)) for name in ERRORS]
    parts.append("## Checks\n\n`frame_harness.guest.checks`\n")
    parts += [_entry(_find("guest/checks.py", name)) for name in CHECKS]
    return "\n".join(parts)


def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / "harness" / "frame_harness" / file).read_text(encoding="utf-8"))


def _find(file: str, name: str) -> Node:
    for node in _tree(file).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
    raise LookupError(f"{file}: no {name}")


def _fixtures() -> Iterator[Function]:
    for node in _tree("session/plugin.py").body:
        decorators = [ast.unparse(one) for one in getattr(node, "decorator_list", [])]
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        if any(one.startswith("pytest.fixture") for one in decorators):
            yield node


def _fixture(node: Function) -> str:
    kind = ast.unparse(node.returns) if node.returns else ""
    kind = kind.removeprefix("Iterator[").removesuffix("]")
    return f"### `{node.name}`: {kind}\n\n{_doc(node)}\n"


def _markers() -> Iterator[str]:
    """The markers as the plugin tells them to pytest."""
    for node in ast.walk(_tree("session/plugin.py")):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "config.addinivalue_line":
            kind, text = (ast.literal_eval(argument) for argument in node.args)
            if kind == "markers":
                name, _, words = text.partition(": ")
                yield f"- `@pytest.mark.{name}`: {words}"
    yield ""


def _class(node: Node) -> Iterator[str]:
    yield f"{_doc(node)}\n"
    shown = list(_fields(node))
    if shown:
        yield from (*shown, "")
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
            yield _entry(member)
    if not shown:
        yield ""


def _fields(node: Node) -> Iterator[str]:
    """The fields, each with the string below it."""
    for field, below in zip_longest(node.body, node.body[1:]):
        if isinstance(field, ast.AnnAssign) and not ast.unparse(field).startswith("_"):
            said = below.value if isinstance(below, ast.Expr) else None
            text = f": {' '.join(str(said.value).split())}" if isinstance(said, ast.Constant) else ""
            yield textwrap.fill(f"- `{ast.unparse(field)}`{text}", 110, subsequent_indent="  ")


def _entry(node: Node) -> str:
    return f"### `{_signature(node)}`\n\n{_doc(node)}\n".replace("\n\n\n", "\n")


def _signature(node: Node) -> str:
    if isinstance(node, ast.ClassDef):
        return node.name
    decorators = {ast.unparse(one) for one in node.decorator_list}
    arguments = ast.unparse(node.args)
    for first in ("self, ", "self", "cls, ", "cls"):
        if arguments.startswith(first):
            arguments = arguments.removeprefix(first)
            break
    returns = ast.unparse(node.returns) if node.returns else "None"
    if decorators & {"property", "cached_property"}:
        return f"{node.name}: {returns}"
    return f"{node.name}({arguments}) -> {returns}"


def _doc(node: Node) -> str:
    """The docstring; its sections stay as they are written, as blocks."""
    text = inspect.cleandoc(ast.get_docstring(node) or "")
    lines = []
    for line in text.splitlines():
        head = line.rstrip(":") in ("Args", "Raises", "Returns", "Attributes") and line.endswith(":")
        lines += ["", f"{line.rstrip(':')}:", ""] if head else [f"- {line.strip()}" if _item(line) else line]
    return "\n".join(lines).strip()


def _item(line: str) -> bool:
    return line.startswith("    ") and not line.startswith("     ")


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
