"""A public function says which of our errors it raises itself.

Public is as in test_docstrings.py, ours are the classes below `HarnessError`. For each `raise` of such a
class, or of what a function of the module returns as one, the docstring of the function or of its class
names that class or one above it. Functions inside of a function are left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from frame_harness.base.errors import HarnessError
from tests.style.test_docstrings import FILES, HARNESS, Public, public_names

ROOT_OF_OURS = HarnessError.__name__

Above = Mapping[str, tuple[str, ...]]
"""Each class of ours, with the classes of ours above it, by their names."""


def last_of(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]


def our_errors(trees: Iterable[ast.Module]) -> Above:
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    above: dict[str, tuple[str, ...]] = {ROOT_OF_OURS: (ROOT_OF_OURS,)}
    found = -1
    while found != len(above):  # a class may stand before the one above it
        found = len(above)
        for node in classes:
            bases = [one for one in map(last_of, node.bases) if one in above]
            if bases:
                above[node.name] = (node.name, *(one for base in bases for one in above[base]))
    return above


def from_others(tree: ast.Module) -> set[str]:
    """The names in a module that come from outside of the package: `click` in `click.UsageError`."""
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(one.asname or one.name).partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("frame_harness"):
            names |= {one.asname or one.name for one in node.names}
    return names - {"frame_harness"}


def raised_in(body: Iterable[ast.AST]) -> Iterator[ast.expr]:
    """What the statements raise themselves, in functions inside of them left out."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        yield from raised_in(ast.iter_child_nodes(node))


def made_by(tree: ast.Module, above: Above) -> dict[str, str]:
    """The errors that functions of a module make for others to raise, by the names of these functions."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.returns)
    made = ((node.name, last_of(node.returns)) for node in functions if node.returns is not None)
    return {name: error for name, error in made if error in above}


def unnamed(name: Public, above: Above, others: set[str], made: Mapping[str, str]) -> list[str]:
    """The errors of ours that a function raises and no text of it names."""
    if isinstance(name.node, ast.ClassDef):
        return []
    texts = [name.text, *(ast.get_docstring(one) or "" for one in name.around)]
    said = set(re.findall(r"\w+", " ".join(texts)))
    raised = {
        made.get(last_of(error), last_of(error)): None
        for error in raised_in(name.node.body)
        if ast.unparse(error).partition(".")[0] not in others
    }
    return [error for error in raised if error in above and not said & set(above[error])]


def unnamed_in(tree: ast.Module, above: Above) -> list[str]:
    others, made = from_others(tree), made_by(tree, above)
    return [
        f"{name.path}: {error}"
        for name in public_names(tree.body)
        for error in unnamed(name, above, others, made)
    ]  # fmt: skip


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def test_every_error_of_ours_stands_in_the_text_of_what_raises_it() -> None:
    above = our_errors(map(tree_of, (HARNESS / "frame_harness").rglob("*.py")))
    found = [
        f"{file.relative_to(HARNESS)}: {one}"
        for file in FILES
        for one in unnamed_in(tree_of(file), above)
    ]  # fmt: skip
    assert {"DumpError", "MonitorGone", "WrongBuild"} <= above.keys()
    assert found == []


ERRORS = "class DumpError(ProtocolError): ...\nclass ProtocolError(errors.HarnessError): ..."


def of_snippet(code: str) -> list[str]:
    return unnamed_in(ast.parse(code), our_errors([ast.parse(ERRORS)]))


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def f():\n '''Text.'''\n raise DumpError('x')", ["f: DumpError"]),
        ("def f():\n raise errors.DumpError", ["f: DumpError"]),
        ("def f():\n '''Raises DumpError.'''\n raise ProtocolError('x')", ["f: ProtocolError"]),
        ("def f():\n '''Raises ADumpError.'''\n raise DumpError('x')", ["f: DumpError"]),
        ("def f():\n try:\n  g()\n except E as e:\n  raise DumpError('x') from e", ["f: DumpError"]),
        ("class C:\n '''Text.'''\n @property\n def f(self):\n  raise DumpError('x')", ["C.f: DumpError"]),
        ("def _e() -> DumpError: ...\ndef f():\n raise _e()", ["f: DumpError"]),
        ("from frame_harness.e import DumpError\ndef f():\n raise DumpError('x')", ["f: DumpError"]),
        ("from frame_harness import errors\ndef f():\n raise errors.DumpError('x')", ["f: DumpError"]),
    ],
)
def test_an_error_that_no_text_names_is_seen(code: str, names: list[str]) -> None:
    assert of_snippet(code) == names


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n '''Text.\n\n Raises:\n     DumpError: it is not whole.\n '''\n raise DumpError('x')",
        "def f():\n '''Text.\n\n Raises:\n     ProtocolError: of any kind.\n '''\n raise DumpError('x')",
        "class C:\n '''Whatever it does raises `DumpError`.'''\n def f(self):\n  raise DumpError('x')",
        "def f():\n def g():\n  raise DumpError('x')",
        "def _f():\n raise DumpError('x')",
        "def f():\n raise ValueError('x')",
        "import click\ndef f():\n raise click.DumpError('x')",
        "from click import DumpError\ndef f():\n raise DumpError('x')",
        "def f():\n try:\n  g()\n except DumpError:\n  raise",
    ],
)
def test_what_is_named_or_is_no_error_of_ours_passes(code: str) -> None:
    assert of_snippet(code) == []
