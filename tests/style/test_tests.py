"""Proves that every package and every module of the harness is tested."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.support.modules import (
    NAMES,
    PACKAGE,
    ROOT,
    Graph,
    import_graph,
    imports,
    loaded_with,
    modules_used,
)
from tests.support.programs import starts_programs

UNIT = ROOT / "tests" / "unit"
PACKAGES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))

# A module is tested when a file of tests names it, or a name of it that its package hands on. These are run
# by the tests of a module beside them, which imports them; a new module is to be named by a test, not here.
BY_NEIGHBORS = {
    "cli": (
        "debug_commands fuzz_commands judge mutate_command orderings"
    ),
    "frame_metadata": (
        "invariants.accounting invariants.blocks invariants.free_frames invariants.history "
        "invariants.links invariants.owners invariants.slots orderings.allocate "
        "orderings.array"
    ),
    "gathering": "replay",
    "image": "ir_proof places",
    "memory_core": "reading",
    "mutation": "atomics expressions names ranges statements values",
    "orderings": "ir_access ir_assembly ir_calls ir_debug ir_local ir_state",
    "steering": "lifting",
}  # fmt: skip
# These lie deeper: by the file whose tests run them in this process.
DEEPER = {
    # It plays cases on guests that find the faults of OWNING_MUTANTS.
    "tests/red/test_core_mutants.py": (
        "memory_core.owning_looks", "memory_core.owning_play", "memory_core.sharing",
    ),
    # Its cases are instructions in functions of a subject, judged as a whole.
    "tests/red/test_assembly.py": (
        "orderings.ir_asm_memory", "orderings.x86_computing", "orderings.x86_operands",
    ),
    "tests/red/test_debugging.py": ("debugging.holding", "debugging.recorder"),
}  # fmt: skip
# These run in a process of their own: by the file that has it started, and names their files.
IN_ANOTHER_PROCESS = {"debugging.in_gdb": "tests/red/test_debugging.py"}
# These take minutes, and return no more than speeds, which `make bench` compares with goals.
MEASURED = ("bench.campaigns", "bench.verdicts")
# What names modules here runs none of what they do.
NO_TESTS_OF_MODULES = {"test_console_names.py", "test_names.py", "test_tests.py"}
EXCEPTIONS = {
    f"frame_harness.{name}"
    for name in (*(name for names in DEEPER.values() for name in names), *IN_ANOTHER_PROCESS, *MEASURED)
}
BESIDE = {
    f"frame_harness.{package}.{name}" for package, names in BY_NEIGHBORS.items() for name in names.split()
}


def named_in(text: str) -> set[str]:
    """The modules that stand in a file by their full names, also in programs that a test writes."""
    full = set(re.findall(r"\bframe_harness(?:\.\w+)+", text))
    return {name if name in NAMES else name.rpartition(".")[0] for name in full} & NAMES.keys()


def handed_on(path: Path) -> set[str]:
    """The modules that have what a file imports from a package, which imports it from them."""
    packages = {name for name, file in NAMES.items() if file.name == "__init__.py"}
    asked = (full.rpartition(".") for full in imports(path))
    return {
        module.rpartition(".")[0]
        for package, _, name in asked if package in packages
        for module in imports(NAMES[package]) if module.rpartition(".")[2] == name
    } & NAMES.keys()  # fmt: skip


@cache
def graph_as_it_is() -> Graph:
    return import_graph()


@cache
def named_by_tests() -> set[str]:
    files = [path for path in (ROOT / "tests").rglob("*.py") if path.name not in NO_TESTS_OF_MODULES]
    found = (
        modules_used(path) | handed_on(path) | named_in(path.read_text(encoding="utf-8")) for path in files
    )
    return set().union(*found)


def package_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def untested(names: Iterable[str], named: set[str]) -> list[str]:
    """The modules that no test names."""
    return [name for name in names if name not in named]


def without_neighbor(names: Iterable[str], named: set[str], graph: Mapping[str, set[str]]) -> list[str]:
    """The modules that no module of their package imports which a test names."""
    return [
        name for name in names
        if not any(name in graph[one] for one in named if package_of(one) == package_of(name))
    ]  # fmt: skip


WITH_CODE = [name for name, path in NAMES.items() if path.name != "__init__.py"]


def test_each_package_has_a_folder_of_tests_and_each_folder_a_package() -> None:
    folders = {path.parent.relative_to(UNIT).as_posix() for path in UNIT.rglob("test_*.py")}
    # What sets a clone up, and the shim, are no packages.
    assert sorted(folders - {"setup"}) == PACKAGES


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("tests.unit.guest.test_pool", True),
        ("tests.unit.image.test_cargo_isolation", True),
        ("tests.red.test_kernels", True),
        ("tests.unit.judge.test_verdict", False),
        ("tests.unit.frame_metadata.test_model", False),
    ],
)
def test_what_starts_programs_is_told_by_what_a_module_has_at_hand(name: str, starts: bool) -> None:
    assert starts_programs(importlib.import_module(name)) is starts


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_named_by_its_tests(package: str) -> None:
    """A folder whose tests are about something else would count for it otherwise."""
    texts = (path.read_text(encoding="utf-8") for path in (UNIT / package).rglob("test_*.py"))
    assert any(package_of(name) == package for text in texts for name in named_in(text))


def test_no_module_is_untested_unless_it_is_said_why() -> None:
    assert untested(WITH_CODE, named_by_tests()) == sorted(EXCEPTIONS | BESIDE, key=list(NAMES).index)


def test_what_is_tested_through_a_neighbor_has_one_that_a_test_names() -> None:
    assert without_neighbor(sorted(BESIDE), named_by_tests(), graph_as_it_is()) == []


@pytest.mark.parametrize("file", DEEPER)
def test_what_lies_deeper_is_loaded_by_the_tests_that_run_it(file: str) -> None:
    loaded = {module for name in modules_used(ROOT / file) for module in loaded_with(name, graph_as_it_is())}
    assert [name for name in DEEPER[file] if f"frame_harness.{name}" not in loaded] == []


def names_itself(text: str, name: str) -> bool:
    """Whether a file of tests has the full name of a module, or the name of its file."""
    return name in text or f"{name.rpartition('.')[2]}.py" in text


@pytest.mark.parametrize("name", IN_ANOTHER_PROCESS)
def test_what_runs_in_another_process_is_named_by_the_test_that_has_it_started(name: str) -> None:
    text = (ROOT / IN_ANOTHER_PROCESS[name]).read_text(encoding="utf-8")
    assert names_itself(text, f"frame_harness.{name}")


def test_a_word_of_its_name_does_not_name_a_module() -> None:
    assert not names_itself('words = ("--gdb", "in_gdb")', "frame_harness.debugging.in_gdb")
    assert names_itself('"source /a/in_gdb.py"', "frame_harness.debugging.in_gdb")


def test_a_module_that_no_test_names_is_seen_and_so_is_one_without_a_neighbor() -> None:
    graph = {
        "frame_harness.a.tested": {"frame_harness.a.near", "frame_harness.b.other"},
        "frame_harness.a.near": {"frame_harness.a.far"},
        "frame_harness.a.far": set[str](),
        "frame_harness.b.other": set[str](),
    }
    named = {"frame_harness.a.tested"}
    found = untested(sorted(graph), named)
    assert found == ["frame_harness.a.far", "frame_harness.a.near", "frame_harness.b.other"]
    assert without_neighbor(found, named, graph) == ["frame_harness.a.far", "frame_harness.b.other"]


def test_what_a_package_hands_on_names_the_module_that_has_it(tmp_path: Path) -> None:
    file = tmp_path / "test_a.py"
    file.write_text("from frame_harness.frame_metadata.model import Vtable", encoding="utf-8")
    assert handed_on(file) == {"frame_harness.frame_metadata.model.hooks"}


def test_a_module_is_named_in_a_program_that_a_test_writes() -> None:
    program = 'CHILD = "from frame_harness.base.parent import die_with_parent"'
    assert named_in(program) == {"frame_harness.base.parent"}


def test_no_check_of_the_suite_is_skipped_by_itself() -> None:
    """It says by `OtherClauseViolated` what hinders it: else what is known of that hides its own clause."""
    calls = re.compile(r"pytest\.(?:skip|xfail|importorskip)\(|mark\.(?:skip|skipif|xfail)\b")
    checks = sorted((ROOT / "tests" / "contract").glob("**/*.py"))
    assert checks
    assert [path.name for path in checks if calls.search(path.read_text(encoding="utf-8"))] == []
