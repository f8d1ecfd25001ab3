"""Proves that every package and every module of the harness is tested."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pytest

from tests.support.modules import NAMES, PACKAGE, ROOT, Graph, import_graph, loaded_with, modules_used

UNIT = ROOT / "tests" / "unit"
PACKAGES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))

# A module is tested when a file of tests names it, or names a module of the same package that imports it.
# These lie deeper: by the file whose tests run them in this process.
DEEPER = {
    "tests/unit/frame_metadata/test_model.py": ("frame_metadata.model.buddy",),
    "tests/unit/histories/test_replay.py": ("cli.replay",),
    # It plays cases on guests that find the faults of OWNING_MUTANTS.
    "tests/red/test_core_mutants.py": (
        "memory_core.owning_looks", "memory_core.owning_play", "memory_core.sharing",
    ),
    # Its cases are instructions in functions of a subject, judged as a whole.
    "tests/red/test_assembly.py": (
        "orderings.ir_asm_memory", "orderings.ir_x86", "orderings.x86_computing", "orderings.x86_operands",
        "orderings.x86_strings", "orderings.x86_updates",
    ),
    "tests/red/test_debugging.py": (
        "cli.debug", "cli.rewind", "debugging.holding", "debugging.recorder", "debugging.session",
    ),
}  # fmt: skip
# These run in a process of their own: by the file that starts it, with what it says there.
IN_ANOTHER_PROCESS = {
    "debugging.in_gdb": ("tests/red/test_debugging.py", "gdb"),
    "debugging.pytest_gdb": ("tests/red/test_debugging.py", "gdb"),
}
# These take minutes, and return no more than speeds, which `make bench` compares with goals.
MEASURED = ("bench.campaigns", "bench.histories", "bench.verdicts")
# What names modules here runs none of what they do.
NO_TESTS_OF_MODULES = {"test_names.py", "test_tests.py"}
EXCEPTIONS = {
    f"frame_harness.{name}"
    for name in (*(name for names in DEEPER.values() for name in names), *IN_ANOTHER_PROCESS, *MEASURED)
}


def named_in(text: str) -> set[str]:
    """The modules that stand in a file by their full names, also in programs that a test writes."""
    full = set(re.findall(r"\bframe_harness(?:\.\w+)+", text))
    return {name if name in NAMES else name.rpartition(".")[0] for name in full} & NAMES.keys()


def named_by_tests() -> set[str]:
    files = [path for path in (ROOT / "tests").rglob("*.py") if path.name not in NO_TESTS_OF_MODULES]
    found = (modules_used(path) | named_in(path.read_text(encoding="utf-8")) for path in files)
    return set().union(*found)


def package_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def untested(names: Iterable[str], named: set[str], graph: Mapping[str, set[str]]) -> list[str]:
    """The modules that no test names, nor a module of their package that a test names imports."""
    return [
        name for name in names
        if name not in named
        and not any(name in graph[one] for one in named if package_of(one) == package_of(name))
    ]  # fmt: skip


GRAPH: Graph = import_graph()
NAMED = named_by_tests()
WITH_CODE = [name for name, path in NAMES.items() if path.name != "__init__.py"]


def test_each_package_has_a_folder_of_tests_and_each_folder_a_package() -> None:
    folders = {path.parent.relative_to(UNIT).as_posix() for path in UNIT.rglob("test_*.py")}
    # What sets a clone up, and the shim, are no packages.
    assert sorted(folders - {"setup"}) == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_the_tests_of_a_package_name_it(package: str) -> None:
    """A folder whose tests are about something else would count for it otherwise."""
    texts = (path.read_text(encoding="utf-8") for path in (UNIT / package).rglob("test_*.py"))
    assert any(package_of(name) == package for text in texts for name in named_in(text))


def test_no_module_is_untested_unless_it_is_said_why() -> None:
    assert untested(WITH_CODE, NAMED, GRAPH) == sorted(EXCEPTIONS, key=list(NAMES).index)


@pytest.mark.parametrize("file", DEEPER)
def test_what_lies_deeper_is_loaded_by_the_tests_that_run_it(file: str) -> None:
    loaded = {module for name in modules_used(ROOT / file) for module in loaded_with(name, GRAPH)}
    assert [name for name in DEEPER[file] if f"frame_harness.{name}" not in loaded] == []


@pytest.mark.parametrize("name", IN_ANOTHER_PROCESS)
def test_what_runs_in_another_process_is_started_by_a_test(name: str) -> None:
    file, words = IN_ANOTHER_PROCESS[name]
    assert words in (ROOT / file).read_text(encoding="utf-8")


def test_a_module_that_no_test_reaches_is_seen() -> None:
    graph = {
        "frame_harness.a.tested": {"frame_harness.a.near"},
        "frame_harness.a.near": {"frame_harness.a.far"},
    }
    graph |= {name: set() for name in ("frame_harness.a.far", "frame_harness.b.other")}
    graph["frame_harness.a.tested"].add("frame_harness.b.other")
    found = untested(sorted(graph), {"frame_harness.a.tested"}, graph)
    assert found == ["frame_harness.a.far", "frame_harness.b.other"]


def test_a_module_is_named_in_a_program_that_a_test_writes() -> None:
    program = 'CHILD = "from frame_harness.base.parent import die_with_parent"'
    assert named_in(program) == {"frame_harness.base.parent"}
