"""A name of the package has one meaning: no class or type alias has the name of another one.

Exempt are names with a leading underscore, which no other module names, and those inside of classes. An alias
may be written twice where both mean the same.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.support.modules import MODULES, PACKAGE


def named(path: Path) -> Iterator[tuple[str, str]]:
    """The classes and type aliases of a module, in order, each with what it means."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name=name):
                yield name, f"class in {path}"
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if is_type_name(name):
                if not is_type_variable(value):
                    yield name, ast.unparse(value)


def is_type_name(name: str) -> bool:
    """Whether a name is written as types are, constants as words in capitals."""
    return name[:1].isupper() and any(letter.islower() for letter in name)


def is_type_variable(value: ast.expr) -> bool:
    """Whether a name is a variable, which means nothing outside of its module."""
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar"


def homonyms(names: Iterable[tuple[str, str]]) -> Mapping[str, set[str]]:
    """Names that mean several things, private ones left out."""
    meanings: dict[str, set[str]] = {}
    for name, meaning in names:
        if not name.startswith("_"):
            meanings.setdefault(name, set()).add(meaning)
    return {name: all_ for name, all_ in meanings.items() if len(all_) > 1}


def test_no_two_types_have_one_name() -> None:
    paths = [path for path in MODULES if PACKAGE in path.parents]
    assert len(paths) > 300
    assert homonyms(each for path in paths for each in named(path)) == {}


def test_a_second_type_of_a_name_is_seen(tmp_path: Path) -> None:
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(
        "class Kind: pass\nclass _Row: pass\nclass Part: pass\nSay = Callable[[str], None]\nSpan = int\n"
        "class Tag: pass\n",
        encoding="utf-8",
    )
    inside = "class Own:\n    class Part: pass\n"
    aliases = "Say: TypeAlias = Callable[[str], None]\nclass Span: pass\nT = TypeVar('T')\n"
    annotated = "Tag: TypeAlias = str\n"
    second.write_text(f"class Kind: pass\nclass _Row: pass\n{inside}{aliases}{annotated}", encoding="utf-8")
    assert homonyms([*named(first), *named(second)]).keys() == {"Kind", "Span", "Tag"}
