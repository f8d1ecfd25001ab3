"""Functions, classes and files of tests stay small enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "harness").rglob("*.py"))
TESTS = sorted(path for end in ("py", "rs") for path in (ROOT / "tests").rglob(f"*.{end}"))
FUNCTION_LINES, PUBLIC_METHODS, TEST_LINES = 60, 20, 450
LARGER = {
    "Model": "a method for each operation of the frame module",
    "Slot": "a method for each method of `MetaSlot` that tests call",
}
"""Classes with more public methods, each with the reason."""
LONGER = {
    "tests/kernel_tree/src/memory/buddy.rs": "stands in for a kernel's own file, which is one",
    "tests/support/core_mutants.py": "a table: bugs of a memory core, a row each",
    "tests/support/frame_mutants.py": "a table: bugs of a frame module, a row each",
    "tests/unit/judge/test_verdict.py": "cases of one function, with the evidence that they share",
}
"""Files of tests with more lines, each with the reason."""


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


def lines_of(path: Path) -> int:
    """0 for a link: it is measured where it leads."""
    return 0 if path.is_symlink() else len(path.read_text(encoding="utf-8").splitlines())


def longer(files: Iterable[Path], root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in files if lines_of(path) > TEST_LINES}


def test_no_file_of_tests_is_too_long() -> None:
    assert longer(TESTS, ROOT) == set(LONGER)


def test_a_file_of_tests_that_is_too_long_is_seen(tmp_path: Path) -> None:
    long, short, link = (tmp_path / name for name in ("long.py", "short.py", "link.py"))
    long.write_text("pass\n" * (TEST_LINES + 1), encoding="utf-8")
    short.write_text("pass\n" * TEST_LINES, encoding="utf-8")
    link.symlink_to(long)
    assert longer([long, short, link], tmp_path) == {"long.py"}
