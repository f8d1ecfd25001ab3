"""Functions and classes stay small enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "harness").rglob("*.py"))
FUNCTION_LINES, PUBLIC_METHODS = 60, 20
LARGER = {
    "Model": "a method for each operation of the frame module",
    "Slot": "a method for each method of `MetaSlot` that tests call",
}
"""Classes with more public methods, each with the reason."""


def nodes() -> Iterator[ast.AST]:
    for path in MODULES:
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def public_methods(node: ast.ClassDef) -> list[str]:
    names = (each.name for each in node.body if isinstance(each, ast.FunctionDef))
    return [name for name in names if not name.startswith("_")]


def too_long(tree: Iterable[ast.AST]) -> list[tuple[str, int]]:
    """Functions with their numbers of lines, each of several that have one name."""
    lengths = (
        (node.name, (node.end_lineno or 0) - node.lineno + 1)
        for node in tree
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return [(name, length) for name, length in lengths if length > FUNCTION_LINES]


def test_no_function_is_too_long() -> None:
    assert too_long(nodes()) == []


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_long_function_is_seen_beside_a_short_one_of_its_name(kind: str) -> None:
    long = f"{kind} f():\n" + "    pass\n" * FUNCTION_LINES
    tree = ast.parse(f"{long}class C:\n    def f(self): pass\n")
    assert too_long(ast.walk(tree)) == [("f", FUNCTION_LINES + 1)]


def test_no_class_has_too_many_public_methods() -> None:
    classes = [node for node in nodes() if isinstance(node, ast.ClassDef)]
    large = {node.name for node in classes if len(public_methods(node)) > PUBLIC_METHODS}
    assert large == set(LARGER)
