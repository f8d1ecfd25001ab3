"""Where an array is public, a text says its shape, which numpy's types cannot say.

Public is as in test_docstrings.py. Looked at are what a function, method or property returns and takes, and
the fields of classes, wherever the annotation has numpy's `NDArray` or a name of ours for one. A shape
is said by one of the phrases of `SHAPE`, in one of these places:

- the line of the parameter or field in `Args` or `Attributes`; `Returns` for what is returned;
- the string below a field, or below the name of the type, where all arrays of that name have one shape;
- the prose of the docstring, of a method also that of its class.

A method without a text, that a base class documents, is judged by the text of that class.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.style.test_docstrings import (
    FILES,
    HARNESS,
    Imported,
    Public,
    is_exempt,
    is_protocol,
    module_of,
    public_names,
)

SHAPE = re.compile(
    r"""
    \b[Ss]hape\ (?:\(|of\ `)                    # shape (k, 2); shape of `pfns`
    | \b(?:[Ff]or|[Oo]f|[Aa]t)\ each\b          # a state for each frame
    | \b[Oo]ne\ (?!with|of|in|on)\w+\ an?\ \w   # one flag a frame
    | \bby\ (?:pfn|order)\b
    | `\w+`\ (?:bytes|items)\b                # `count` items
    """,
    re.VERBOSE,
)
SECTIONS = ("Args", "Attributes", "Returns", "Raises")

Names = Mapping[str, str]
"""Each name of an array type in a module, with the text below its definition."""


class Text(NamedTuple):
    """A docstring in parts: what `Args` and `Attributes` say is by name."""

    prose: str
    lines: Mapping[str, str]


class Array(NamedTuple):
    """One that is public: what it is in its function or class, its type, where its shape may be said."""

    name: str
    annotation: ast.expr
    said: str


def parts_of(docstring: str) -> Text:
    prose, lines = "", dict[str, str]()
    section, names = "", list[str]()
    for line in docstring.splitlines():
        if line.rstrip(":") in SECTIONS and line.endswith(":"):
            section = line.rstrip(":")
        elif section not in ("Args", "Attributes"):
            prose += line + "\n" if section != "Raises" else ""
        else:
            if head := re.match(r" {4}(\w+(?:, \w+)*):", line):
                names = head[1].split(", ")
            for name in names:
                lines[name] = lines.get(name, "") + line + "\n"
    return Text(prose, lines)


def arrays_of(name: Public) -> Iterator[Array]:
    """What is public about a function or a class, of whatever type."""
    prose, lines = parts_of(name.text)
    if isinstance(name.node, ast.ClassDef):
        below = [*name.node.body[1:], None]
        for node, text in zip(name.node.body, below, strict=True):
            if isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_"):
                field = ast.unparse(node.target)
                yield Array(field, node.annotation, prose + lines.get(field, "") + string_of(text))
        return
    if name.around:
        prose += parts_of(ast.get_docstring(name.around[-1]) or "").prose
    args = name.node.args
    for one in (*args.posonlyargs, *args.args, *args.kwonlyargs):
        if one.annotation is not None:
            yield Array(one.arg, one.annotation, prose + lines.get(one.arg, ""))
    if name.node.returns is not None:
        yield Array("return", name.node.returns, prose)


def string_of(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""


def array_names(tree: ast.Module) -> dict[str, str]:
    """Those that a module gives to array types itself."""
    found = {}
    for node, text in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Subscript):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if ast.unparse(node.value.value).rpartition(".")[2] == "NDArray":
                found[ast.unparse(target)] = string_of(text)
    return found


def names_known_in(tree: ast.Module, of_modules: Mapping[str, Names]) -> Names:
    """The names of array types in a module: numpy's, its own, those that it imports from modules of ours."""
    known = {"NDArray": "", "ndarray": ""} | array_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            given = of_modules.get(node.module or "", {})
            known |= {one.asname or one.name: given[one.name] for one in node.names if one.name in given}
    return known


def has_shape(array: Array, known: Names) -> bool:
    """Also true of what is no array at all."""
    used = {ast.unparse(node) for node in ast.walk(array.annotation) if isinstance(node, ast.expr)}
    types = {one.rpartition(".")[2] for one in used} & known.keys()
    return all(SHAPE.search(f"{array.said} {known[one]}") for one in types)


def is_told_above(name: Public, imported: Imported) -> bool:
    """Whether a base class has the text; a protocol's own text has to say what its members are."""
    of_protocol = bool(name.around) and is_protocol(name.around[-1])
    return not name.text and not of_protocol and is_exempt(name, imported)


def without_shape(tree: ast.Module, imported: Imported, of_modules: Mapping[str, Names]) -> list[str]:
    known = names_known_in(tree, of_modules)
    return [
        f"{name.path}: {array.name}"
        for name in public_names(tree.body)
        for array in arrays_of(name)
        if not has_shape(array, known) and not is_told_above(name, imported)
    ]


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(HARNESS).with_suffix("").parts).removesuffix(".__init__")


def test_every_public_array_has_its_shape_in_a_text() -> None:
    trees = {file: tree_of(file) for file in FILES}
    of_modules = {module_name(file): array_names(tree) for file, tree in trees.items()}
    found = [
        f"{file.relative_to(HARNESS)}: {one}"
        for file, tree in trees.items()
        for one in without_shape(tree, partial(module_of, file), of_modules)
    ]
    assert "Pfns" in of_modules["frame_harness.frame_metadata.invariants.frames"]
    assert found == []


def of_snippet(code: str) -> list[str]:
    given = {"frame_harness.ours": {"Pfns": "", "Ranges": "Shape (k, 2)."}}
    return without_shape(ast.parse(code), lambda: None, given)


FIELD = "class C:\n '''Text.\n\n Args:\n     a: {}\n '''\n a: NDArray[Any]"


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def f() -> NDArray[Any]:\n '''The slots.'''", ["f: return"]),
        ("def f() -> tuple[int, npt.NDArray[Any]] | None:\n '''The slots.'''", ["f: return"]),
        ("def f(a: int, *, b: NDArray[Any]):\n '''Text.'''", ["f: b"]),
        ("def f(a: Callable[[], NDArray[Any]]):\n '''Text.'''", ["f: a"]),
        ("def f(a: int, b: NDArray[Any]):\n '''Text.\n\n Args:\n     a: shape (k,).\n     b: it.\n '''",
         ["f: b"]),
        ("def f() -> NDArray[Any]:\n '''Text.\n\n Raises:\n     E: of each of them.\n '''", ["f: return"]),
        ("class C:\n '''Text.'''\n @property\n def f(self) -> NDArray[Any]:\n  '''Text.'''", ["C.f: return"]),
        (FIELD.format("the slots."), ["C: a"]),
        ("class C:\n '''Text.'''\n a: NDArray[Any]\n b: int\n '''Shape (k,).'''", ["C: a"]),
        ("from frame_harness.ours import Pfns\ndef f() -> Pfns:\n '''Text.'''", ["f: return"]),
        ("from frame_harness.ours import Pfns as P\ndef f() -> P:\n '''Text.'''", ["f: return"]),
        ("Mask = NDArray[np.bool_]\ndef f() -> Mask:\n '''Text.'''", ["f: return"]),
        ("class C(Protocol):\n '''Text.'''\n def f(self) -> NDArray[Any]: ...", ["C.f: return"]),
    ],
)  # fmt: skip
def test_an_array_without_a_shape_is_seen(code: str, names: list[str]) -> None:
    assert of_snippet(code) == names


@pytest.mark.parametrize(
    "code",
    [
        "def f() -> NDArray[Any]:\n '''The slots, shape (n_frames,).'''",
        "def f() -> NDArray[Any]:\n '''Text.\n\n Returns:\n     Shape (k,).\n '''",
        "def f(a: NDArray[Any]):\n '''Text.\n\n Args:\n     a: those\n         at each node.\n '''",
        "class C:\n '''Arrays, each with a flag for each frame.'''\n a: NDArray[Any]\n"
        " def f(self) -> NDArray[Any]:\n  '''Text.'''",
        FIELD.format("shape (k,)."),
        "class C:\n '''Text.'''\n a: NDArray[Any]\n '''Shape (k,).'''",
        "from frame_harness.ours import Ranges\ndef f() -> Ranges:\n '''Text.'''",
        "from rich.table import Pfns\ndef f() -> Pfns:\n '''Text.'''",
        "class C:\n '''Text.'''\n _a: NDArray[Any]\n def _f(self) -> NDArray[Any]: pass",
        "class C(Protocol):\n '''Its slots: shape (k,).'''\n def f(self) -> NDArray[Any]: ...",
        "def f(a: int) -> str:\n '''Text.'''",
    ],
)
def test_an_array_whose_shape_is_said_passes(code: str) -> None:
    assert of_snippet(code) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shape (k, 4096), uint8.", True),
        ("shape of `pfns`; what it holds now.", True),
        ("A state for each frame.", True),
        ("One flag a frame: inside of a range.", True),
        ("Blocks by order.", True),
        ("Guest memory as `count` items of a type.", True),
        ("Slots, one with a link first.", False),
        ("The shape that it has.", False),
        ("Which frames are in a cache.", False),
        ("Each of them is new.", False),
    ],
)
def test_a_phrase_says_a_shape_or_does_not(text: str, says: bool) -> None:
    assert bool(SHAPE.search(text)) is says
