"""Proves that packages depend on each other in one direction only, as DESIGN says."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.layouts import META_SLOT
from tests.support.each import each
from tests.support.modules import MODULES, PACKAGE, ROOT, import_graph, imports, name_of

DESIGN = ROOT / "DESIGN.md"
OF_AN_EXTRA = ("campaigns", "mutation")
"""Packages that need the extra `campaign`; all else works without it."""
# Import name of a package where it differs from the name it is installed by.
INSTALLED_AS = {
    "_pytest": "pytest",
    "dask": "distributed",
    "elftools": "pyelftools",
    "iced_x86": "iced-x86",
    "qemu": "qemu.qmp",
    "tree_sitter": "tree-sitter",
    "tree_sitter_rust": "tree-sitter-rust",
    "xdist": "pytest-xdist",
    "yaml": "PyYAML",
}


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def table() -> dict[str, set[str]]:
    """What each package may import, as DESIGN's table says; `all` stands for every other one."""
    # | `image` | toolchain, subject | `base` `contract` |
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \|([^|]*)\|$", DESIGN.read_text(encoding="utf-8"), re.MULTILINE)
    allowed = {name: set(re.findall(r"`(\w+)`", words)) for name, words in rows}
    everything = {name for name, words in rows if words.strip() == "all"}
    return allowed | {name: set(allowed) - {name} for name in everything}


ALLOWED = table()


def test_each_package_stands_in_the_table_once() -> None:
    names = re.findall(
        r"^\| `(\w+)` \| [^|]+ \|(?:[^|]*)\|$", DESIGN.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(names) == len(ALLOWED)


def packages_used(path: Path) -> set[str]:
    parts = [name.split(".") for name in imports(path)]
    return {name[1] for name in parts if name[0] == "frame_harness" and len(name) > 1}


@each([path for path in MODULES if path.parent != PACKAGE], ids=name_of)
def test_module_imports_what_the_row_of_its_package_allows(path: Path) -> None:
    package = package_of(path)
    assert packages_used(path) - {package} <= ALLOWED[package]


def test_the_table_has_a_row_for_each_package_and_no_other() -> None:
    assert ALLOWED.keys() == {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}


def test_the_table_allows_nothing_that_is_not_used() -> None:
    used: dict[str, set[str]] = {}
    for path in MODULES:
        used.setdefault(package_of(path), set()).update(packages_used(path))
    unused = {name: allowed - used[name] for name, allowed in ALLOWED.items() if name != "cli"}
    assert {name: rest for name, rest in unused.items() if rest} == {}


ENGINES = ("concurrency", "races")
"""They run what a contract's own packages describe."""
OF_THE_PROGRAMS = "smp.py"
"""It has the names of what the guest's programs write down, which `test_names` compares with the guest's."""
UNLIKE_OTHER_WORDS = META_SLOT.widths.keys() - {"flags", "next", "order", "prev"}
OF_FRAMES = re.compile(r"(?:alloc|array|buddy|frame|inject|slot|vt)[. ][\w{]")


def texts_in_code(path: Path) -> Iterator[str]:
    """The texts of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def of_a_frame_module(text: str) -> bool:
    """Whether a text is a field of a frame's slot, a clause, or a command that speaks of frames."""
    return text in UNLIKE_OTHER_WORDS or text in CLAUSES or OF_FRAMES.match(text) is not None


@each([path for path in MODULES if package_of(path) in ENGINES and path.name != OF_THE_PROGRAMS], ids=name_of)
def test_an_engine_names_nothing_of_a_frame_module(path: Path) -> None:
    assert [text for text in texts_in_code(path) if of_a_frame_module(text)] == []


@pytest.mark.parametrize("text", ["refcount", "buddy.drain", "slot.peek {frame:#x}", "FREE-03"])
def test_what_is_of_a_frame_module_is_seen(text: str) -> None:
    assert of_a_frame_module(text)


def test_the_table_has_no_cycle() -> None:
    assert cycle_of(ALLOWED) == ()


def test_nothing_but_init_lies_at_the_top_of_the_package() -> None:
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py"]


@each([*MODULES, *sorted((ROOT / "tests").rglob("*.py"))], ids=name_of)
def test_every_package_that_is_imported_is_declared(path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = list(project["dependencies"])
    if PACKAGE not in path.parents or package_of(path) in OF_AN_EXTRA:
        required += project["optional-dependencies"]["campaign"]
    if PACKAGE not in path.parents and (ROOT / "tests" / "contract") not in path.parents:
        required += project["optional-dependencies"]["dev"]
    declared = {re.split(r"[<>=\[]", text)[0] for text in required}
    used = {name.partition(".")[0] for name in imports(path)}
    # A relative import or a module of the tests' own has no package behind it.
    own = {"frame_harness", "frame_harness_start", "tests", "None"} | {
        file.stem for file in (ROOT / "tests").rglob("*.py")
    }
    own.add("gdb")  # what runs inside gdb finds it there
    foreign = used - own - set(sys.stdlib_module_names)
    assert {INSTALLED_AS.get(name, name) for name in foreign} - declared == set()


def test_pexpect_enters_through_one_module() -> None:
    users = [
        name_of(path) for path in MODULES if any(name.split(".")[0] == "pexpect" for name in imports(path))
    ]
    assert len(users) == 1
    assert users[0].startswith("harness/frame_harness/console/")


def test_elftools_enters_where_object_files_are_read() -> None:
    users = [path for path in MODULES if any(name.split(".")[0] == "elftools" for name in imports(path))]
    assert {package_of(path) for path in users} == {"image", "orderings"}


def cycle_of(graph: dict[str, set[str]]) -> tuple[str, ...]:
    """Return a cycle; empty where there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return tuple(error.args[1])
    return ()


def test_no_module_imports_itself_in_a_roundabout_way() -> None:
    assert cycle_of(import_graph()) == ()


def test_a_roundabout_import_is_seen() -> None:
    graph = import_graph()
    graph["frame_harness.machine.definition"] |= {"frame_harness.machine.guest"}
    assert {"frame_harness.machine.definition", "frame_harness.machine.guest"} <= set(cycle_of(graph))
