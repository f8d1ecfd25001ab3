"""Proves that modules which only compute load nothing that reaches out of the process."""

from __future__ import annotations

import pytest

from tests.support.modules import NAMES, PACKAGE, import_graph, imports, loaded_with, module_name

# Values in, values out: no clock, process, socket, file, thread, environment.
PURE = (
    "contract/",
    "frame_metadata/invariants/",
    "frame_metadata/model/",
    "frame_metadata/clauses.py",
    "frame_metadata/contract.py",
    "frame_metadata/functions.py",
    "frame_metadata/slot_methods.py",
    "frame_metadata/versions.py",
    "judge/",
    "pictures/",
    "console/protocol.py",
    "console/dump.py",
    "console/ktap.py",
)
IMPURE = frozenset(
    {
        "asyncio", "fcntl", "glob", "importlib", "io", "logging", "mmap", "multiprocessing", "os", "pathlib",
        "pexpect", "psutil", "qemu", "select", "selectors", "shutil", "signal", "socket", "subprocess", "sys",
        "tempfile", "threading", "time",
    }
)  # fmt: skip
PURE_MODULES = sorted(
    name for name, path in NAMES.items() if path.relative_to(PACKAGE).as_posix().startswith(PURE)
)
GRAPH = import_graph()


def impure_imports(name: str, graph: dict[str, set[str]] = GRAPH) -> list[str]:
    """What a module loads that it must not, each with the modules that lead there."""
    asked_by, found = loaded_with(name, graph), []
    for module in asked_by:
        wrong = {full.partition(".")[0] for full in imports(NAMES[module])} & IMPURE
        if wrong:
            way = [module]
            while way[-1] != name:
                way.append(asked_by[way[-1]])
            found.append(f"{' <- '.join(way)}: {', '.join(sorted(wrong))}")
    return found


@pytest.mark.parametrize("name", PURE_MODULES)
def test_pure_module_loads_no_clock_process_or_file(name: str) -> None:
    assert impure_imports(name) == []


def test_pure_modules_of_the_rule_exist() -> None:
    assert [pure for pure in PURE if not (PACKAGE / pure).exists()] == []


def test_an_import_of_an_import_is_seen() -> None:
    graph = GRAPH | {"frame_harness.base.errors": {"frame_harness.base.commands"}}
    found = impure_imports("frame_harness.console.ktap", graph)
    way = "frame_harness.base.commands <- frame_harness.base.errors <- frame_harness.console.ktap: "
    assert any(line.startswith(way) and "subprocess" in line for line in found)


def test_what_the_package_of_a_pure_module_loads_is_seen() -> None:
    graph = GRAPH | {"frame_harness.console": {"frame_harness.console.stream"}}
    assert any("pexpect" in line for line in impure_imports("frame_harness.console.ktap", graph))


def test_names_follow_files() -> None:
    assert module_name(PACKAGE / "console" / "__init__.py") == "frame_harness.console"
    assert {"frame_harness.console.ktap", "frame_harness.judge.verdict"} <= set(PURE_MODULES)
