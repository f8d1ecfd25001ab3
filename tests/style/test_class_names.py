"""A class of the package has a name that no other class of it has, so that a name alone says what is meant.

Exempt are classes with a leading underscore, which no other module names, and those inside of others.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from tests.support.modules import MODULES, PACKAGE

KEPT = {
    "Region": "of the memory map of a core, and of that of a guest, which users' own tests name",
    "Storm": "an operation of a core's case, and a kind of storm of a contract",
    "Turn": "of one storm that is repeated, and of one CPU while another one is held",
}
"""Names of two classes, each with what they are."""


def named(path: Path) -> list[str]:
    """The classes of a module, in order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


def homonyms(names: Iterable[str]) -> set[str]:
    """Names that occur more than once, private ones left out."""
    seen, twice = set[str](), set[str]()
    for name in names:
        if not name.startswith("_"):
            (twice if name in seen else seen).add(name)
    return twice


def test_no_two_classes_have_one_name_unless_it_is_said_why() -> None:
    paths = [path for path in MODULES if PACKAGE in path.parents]
    assert len(paths) > 300
    assert homonyms(name for path in paths for name in named(path)) == set(KEPT)


def test_a_second_class_of_a_name_is_seen(tmp_path: Path) -> None:
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text("class Kind: pass\nclass _Row: pass\nclass Part: pass\n", encoding="utf-8")
    inside = "class Own:\n    class Part: pass\n"
    second.write_text(f"class Kind: pass\nclass _Row: pass\n{inside}", encoding="utf-8")
    assert homonyms([*named(first), *named(second)]) == {"Kind"}
