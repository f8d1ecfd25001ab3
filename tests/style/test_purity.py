"""Proves that modules which only compute load and call nothing that reaches out of the process.

Imports alone do not show it: `open` and `print` are there without one, and what a caller hands over may be a
path or a clock. So names and attributes are looked at, too, whether they are called or handed on.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from tests.support.modules import NAMES, PACKAGE, Graph, import_graph, imports, loaded_with, module_name

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
    "coverage/blocks.py",
)
ALONE = (
    "machine/exit_status.py",
    "machine/flatview.py",
    "machine/monitor_event.py",
    "machine/vcpu.py",
)
"""As pure, but the `__init__` of their package loads what runs QEMU, for users who import names from it."""
IMPURE = frozenset(
    {
        "asyncio", "builtins", "concurrent", "ctypes", "datetime", "fcntl", "fileinput", "glob",
        "importlib", "io", "linecache", "locale", "logging", "mmap", "multiprocessing", "os",
        "pathlib", "pexpect", "platform", "psutil", "qemu", "random", "resource", "secrets",
        "select", "selectors", "shutil", "signal", "socket", "subprocess", "sys", "tempfile",
        "threading", "time", "urllib.request", "uuid",
    }
)  # fmt: skip
HARMLESS = frozenset(
    {"datetime.UTC", "datetime.datetime", "datetime.timedelta", "signal.SIGKILL", "signal.Signals"}
)
"""Values of these modules; the methods of dates that ask a clock are attributes below."""
IMPURE_BUILTINS = frozenset({"__import__", "breakpoint", "exec", "eval", "input", "open", "print"})
# Of a path, a file, a clock, numpy. Not `write`, `load`, `time`: what has these is imported, or is ours.
IMPURE_ATTRIBUTES = frozenset(
    {
        "astimezone", "fromfile", "fromtimestamp", "genfromtxt", "is_dir", "is_file", "iterdir", "loadtxt",
        "memmap", "mkdir", "monotonic", "monotonic_ns", "now", "open", "perf_counter",
        "perf_counter_ns", "read_bytes", "read_text", "savetxt", "savez", "savez_compressed",
        "time_ns", "today", "tofile", "touch", "utcnow", "write_bytes", "write_text",
    }
)  # fmt: skip
IMPURE_CALLS = frozenset({"np.load", "np.save", "numpy.load", "numpy.save", "time.time"})
PURE_MODULES = sorted(
    name for name, path in NAMES.items() if path.relative_to(PACKAGE).as_posix().startswith(PURE)
)
PURE_ALONE = [module_name(PACKAGE / path) for path in ALONE]


@cache
def graph_as_it_is() -> Graph:
    return import_graph()


def impure_uses(tree: ast.Module) -> Iterator[str]:
    """The names and attributes in a module that reach out of the process, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in IMPURE_BUILTINS:
            yield f"{node.lineno}: {node.id}"
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            if node.attr in IMPURE_ATTRIBUTES or ast.unparse(node) in IMPURE_CALLS:
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Call) and ast.unparse(node).endswith("default_rng()"):
            yield f"{node.lineno}: {ast.unparse(node)}"  # without a seed it asks the system for one


def is_impure(full: str) -> bool:
    if full in HARMLESS:
        return False
    parts = full.split(".")
    return any(".".join(parts[:count]) in IMPURE for count in range(1, len(parts) + 1))


def asked_for(name: str, graph: Graph | None = None) -> dict[str, str]:
    """As `loaded_with`; for a module of `ALONE` without the `__init__` of its package."""
    graph = graph or graph_as_it_is()
    if name not in PURE_ALONE:
        return loaded_with(name, graph)
    package = name.rpartition(".")[0]
    found = loaded_with(name, graph | {package: set()})
    return {module: by for module, by in found.items() if module != package}


def impure_imports(name: str, graph: Graph | None = None) -> list[str]:
    """What a module loads that it must not, each with the modules that lead there."""
    asked_by, found = asked_for(name, graph), []
    for module in asked_by:
        wrong = {full for full in imports(NAMES[module]) if is_impure(full)}
        if wrong:
            way = [module]
            while way[-1] != name:
                way.append(asked_by[way[-1]])
            found.append(f"{' <- '.join(way)}: {', '.join(sorted(wrong))}")
    return found


@pytest.mark.parametrize("name", [*PURE_MODULES, *PURE_ALONE])
def test_pure_module_loads_no_clock_process_or_file(name: str) -> None:
    assert impure_imports(name) == []


def test_nothing_that_pure_modules_load_uses_a_file_a_clock_or_a_terminal() -> None:
    loaded = sorted({module for name in (*PURE_MODULES, *PURE_ALONE) for module in asked_for(name)})
    trees = ((name, ast.parse(NAMES[name].read_text(encoding="utf-8"))) for name in loaded)
    assert [f"{name}:{use}" for name, tree in trees for use in impure_uses(tree)] == []


@pytest.mark.parametrize(
    ("code", "use"),
    [
        ("open('a')", "open"),
        ("text = [one.read() for one in map(open, names)]", "open"),
        ("print('a')", "print"),
        ("Path('a').read_text(encoding='utf-8')", "Path('a').read_text"),
        ("def f(path):\n  return path.open('rb')", "path.open"),
        ("datetime.datetime.now()", "datetime.datetime.now"),
        ("began = time.time()", "time.time"),
        ("def f(clock=time.monotonic): ...", "time.monotonic"),
        ("table.tofile(file)", "table.tofile"),
        ("np.load(file)", "np.load"),
        ("np.random.default_rng()", "np.random.default_rng()"),
        ("eval(text)", "eval"),
    ],
)
def test_a_use_of_a_file_a_clock_or_a_terminal_is_seen(code: str, use: str) -> None:
    assert [line.partition(": ")[2] for line in impure_uses(ast.parse(code))] == [use]


@pytest.mark.parametrize(
    "code",
    [
        "def f(opened, time): return opened[time.first]",
        "np.random.default_rng(SEED).integers(0, 8)",
        "slots.write(pfn, slot)",
        "words = {'print': 'open'}",
        "self.load(taken.time)",
    ],
)
def test_what_only_computes_is_no_such_use(code: str) -> None:
    assert list(impure_uses(ast.parse(code))) == []


def test_an_impure_part_of_a_package_is_told_from_its_pure_parts() -> None:
    assert is_impure("urllib.request.urlopen") and is_impure("signal.signal") and is_impure("os")
    assert is_impure("signal") and is_impure("datetime") and not is_impure("datetime.datetime")
    assert not is_impure("urllib.parse.quote") and not is_impure("osmium.path")


def test_pure_modules_of_the_rule_exist() -> None:
    assert [pure for pure in (*PURE, *ALONE) if not (PACKAGE / pure).exists()] == []


def test_an_import_of_an_import_is_seen() -> None:
    graph = graph_as_it_is() | {"frame_harness.base.errors": {"frame_harness.base.commands"}}
    found = impure_imports("frame_harness.console.ktap", graph)
    way = "frame_harness.base.commands <- frame_harness.base.errors <- frame_harness.console.ktap: "
    assert any(line.startswith(way) and "subprocess" in line for line in found)


def test_an_import_of_a_module_that_is_pure_alone_is_seen() -> None:
    assert impure_imports("frame_harness.machine.vcpu") == []
    graph = graph_as_it_is() | {"frame_harness.machine.vcpu": {"frame_harness.machine.qmp"}}
    assert any("qemu.qmp" in line for line in impure_imports("frame_harness.machine.vcpu", graph))


def test_what_the_package_of_a_pure_module_loads_is_seen() -> None:
    graph = graph_as_it_is() | {"frame_harness.console": {"frame_harness.console.stream"}}
    assert any("pexpect" in line for line in impure_imports("frame_harness.console.ktap", graph))


def test_names_follow_files() -> None:
    assert module_name(PACKAGE / "console" / "__init__.py") == "frame_harness.console"
    assert {"frame_harness.console.ktap", "frame_harness.judge.verdict"} <= set(PURE_MODULES)
