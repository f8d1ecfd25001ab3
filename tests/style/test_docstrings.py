"""Every public name of the harness says in a docstring what its types cannot say.

Public is a function, method, property or class without a leading underscore, in a module and a class without
one. Exempt, as far as the text or the classes themselves tell:

- functions inside functions, and names such as `__init__`;
- members of a `Protocol` that has a docstring itself;
- stubs under `@overload`, and setters, whose getter has the text;
- a method that a base class documents, ours or a library's, by the classes as they are when imported; a
  module that cannot be imported here (it runs inside gdb) inherits nothing;
- hooks that pytest documents.

Tests and the suite of checks lie outside of the package; their names say what they show.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial, reduce
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from _pytest import hookspec

HARNESS = Path(__file__).resolve().parents[2] / "harness"
FILES = sorted(
    file
    for file in (HARNESS / "frame_harness").rglob("*.py")
    if not any(part.startswith("_") and part != "__init__.py" for part in file.relative_to(HARNESS).parts)
)
LONGEST = 110
STUBS = ("overload", "setter", "deleter")

Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Imported = Callable[[], ModuleType | None]


class Public(NamedTuple):
    """A public name: the classes around it, the innermost last."""

    around: tuple[ast.ClassDef, ...]
    node: Named

    @property
    def path(self) -> str:
        return ".".join(one.name for one in (*self.around, self.node))

    @property
    def text(self) -> str:
        return ast.get_docstring(self.node) or ""


def public_names(body: Iterable[ast.stmt], around: tuple[ast.ClassDef, ...] = ()) -> Iterator[Public]:
    """Each of a module or class, also behind a condition; nothing inside a function."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from public_names(within(node), around)
        elif isinstance(node, Named) and not node.name.startswith("_"):
            yield Public(around, node)
            if isinstance(node, ast.ClassDef):
                yield from public_names(node.body, (*around, node))


def within(node: ast.If | ast.Try | ast.With) -> Iterator[ast.stmt]:
    """The statements of all blocks of a compound one, in order, those inside them left out."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.stmt):
            yield inner
        elif isinstance(inner, ast.ExceptHandler):
            yield from inner.body


def is_exempt(name: Public, imported: Imported) -> bool:
    """Whether somebody else documents it; asks for the imported module only where the text does not tell."""
    if isinstance(name.node, ast.ClassDef):
        return False
    if any(ast.unparse(one).rpartition(".")[2] in STUBS for one in name.node.decorator_list):
        return True
    if name.node.name.startswith("pytest_"):
        return bool(getattr(getattr(hookspec, name.node.name, None), "__doc__", None))
    if not name.around or not name.around[-1].bases:
        return False
    if is_protocol(name.around[-1]):
        return ast.get_docstring(name.around[-1]) is not None
    module = imported()
    return module is not None and is_documented_above(
        reduce(getattr, (one.name for one in name.around), module), name.node.name
    )


def is_protocol(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).partition("[")[0].rpartition(".")[2] == "Protocol" for base in node.bases)


def is_documented_above(owner: object, method: str) -> bool:
    assert isinstance(owner, type)
    inherited = (vars(base).get(method) for base in owner.__mro__[1:])
    return any(getattr(one, "__doc__", None) for one in inherited if one is not None)


def undocumented(tree: ast.Module, imported: Imported) -> list[str]:
    names = [name for name in public_names(tree.body) if not name.text]
    return [name.path for name in names if not is_exempt(name, imported)]


def is_sentence(text: str) -> bool:
    """Whether the first line of a docstring ends like a sentence, and is short enough for one line."""
    line = text.partition("\n")[0]
    return line.endswith(".") and len(line) <= LONGEST


def module_of(file: Path) -> ModuleType | None:
    parts = file.relative_to(HARNESS).with_suffix("").parts
    try:
        return importlib.import_module(".".join(part for part in parts if part != "__init__"))
    except ImportError as error:
        assert error.name == "gdb", f"{file}: {error}"
        return None


def test_every_public_name_has_a_docstring() -> None:
    found = [
        f"{file.relative_to(HARNESS)}: {name}"
        for file in FILES
        for name in undocumented(ast.parse(file.read_text(encoding="utf-8")), partial(module_of, file))
    ]
    assert len(FILES) > 300
    assert found == []


def test_every_docstring_begins_with_a_sentence_on_one_line() -> None:
    found = [
        f"{file.relative_to(HARNESS)}: {name.path}"
        for file in FILES
        for name in public_names(ast.parse(file.read_text(encoding="utf-8")).body)
        if name.text and not is_sentence(name.text)
    ]
    assert found == []


def of_snippet(code: str) -> list[str]:
    """The undocumented names of a module with this text."""

    def imported() -> ModuleType:
        module = ModuleType("snippet")
        exec(code, vars(module))
        return module

    return undocumented(ast.parse(code), imported)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def f(): pass", ["f"]),
        ("async def f(): pass", ["f"]),
        ("class C:\n def f(self): pass", ["C", "C.f"]),
        ("class C:\n '''Text.'''\n @property\n def f(self): pass", ["C.f"]),
        ("class C:\n '''Text.'''\n class D:\n  def f(self): pass", ["C.D", "C.D.f"]),
        ("if True:\n def f(): pass\nelse:\n def g(): pass", ["f", "g"]),
        ("try:\n def f(): pass\nexcept ValueError:\n def g(): pass", ["f", "g"]),
        ("class B:\n '''Text.'''\n def f(self): pass\nclass C(B):\n '''Text.'''\n def f(self): pass",
         ["B.f", "C.f"]),
        ("class C(dict):\n '''Text.'''\n def of_ours(self): pass", ["C.of_ours"]),
        ("from typing import Protocol\nclass C(Protocol):\n def f(self): ...", ["C", "C.f"]),
        ("def pytest_of_nobody(): pass", ["pytest_of_nobody"]),
        ("def f(): ''", ["f"]),
    ],
)  # fmt: skip
def test_a_public_name_without_a_docstring_is_seen(code: str, names: list[str]) -> None:
    assert of_snippet(code) == names


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n '''Text.'''\n def g(): pass",
        "def _f(): pass\nclass _C:\n def f(self): pass",
        "class C:\n '''Text.'''\n def __init__(self): pass\n def _f(self): pass",
        "class B:\n '''Text.'''\n def f(self):\n  '''Text.'''\nclass C(B):\n '''Text.'''\n def f(self): pass",
        "class C(dict):\n '''Text.'''\n def keys(self): pass",
        "import ast\nclass C(ast.NodeVisitor):\n '''Text.'''\n def visit(self, node): pass",
        "from typing import Protocol\nclass C(Protocol):\n '''Text.'''\n def f(self): ...",
        "from typing import overload\n@overload\ndef f(): ...\ndef f():\n '''Text.'''",
        "class C:\n '''Text.'''\n @property\n def f(self):\n  '''Text.'''\n @f.setter\n def f(self, v): pass",
        "def pytest_configure(config): pass",
    ],
)
def test_what_another_text_covers_is_not_asked_for(code: str) -> None:
    assert of_snippet(code) == []


def test_a_module_that_cannot_be_imported_inherits_nothing() -> None:
    tree = ast.parse("import gdb\nclass C(gdb.Command):\n '''Text.'''\n def invoke(self): pass")
    assert undocumented(tree, lambda: None) == ["C.invoke"]


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("Return the sum.", True),
        ("Return the sum.\n\nMore of it", True),
        ("x" * (LONGEST - 1) + ".", True),
        ("x" * LONGEST + ".", False),
        ("Return the sum", False),
        ("Is it a sum?", False),
        ("Return the sum of what\nis there.", False),
    ],
)
def test_the_first_line_is_a_sentence(text: str, fine: bool) -> None:
    assert is_sentence(text) is fine
