"""The modules of the package, and what each of them imports."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "harness" / "frame_harness"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)

Graph = dict[str, set[str]]


def name_of(path: Path) -> str:
    """The path in the clone."""
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """The name by which a module is imported."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path): path for path in MODULES}


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """The full name of everything that a module imports, also inside of functions."""
    return tuple(_imports(ast.parse(path.read_text(encoding="utf-8"))))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All statements, those inside of others included; expressions are most of a tree, and import nothing."""
    for node in body:
        yield node
        for part in ("body", "handlers", "orelse", "finalbody", "cases"):
            yield from _statements(getattr(node, part, ()))


def modules_used(path: Path) -> set[str]:
    """The modules of the package that a file imports."""
    # `from a.b import c` is the module a.b.c where there is one, else the module a.b.
    return {full if full in NAMES else full.rpartition(".")[0] for full in imports(path)} & NAMES.keys()


def import_graph() -> Graph:
    """Which module of the package imports which, inside functions and for types alone included."""
    return {name: modules_used(path) - {name} for name, path in NAMES.items()}


def packages_around(name: str) -> set[str]:
    """The packages whose `__init__` runs before a module does."""
    parts = name.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts))}


def loaded_with(name: str, graph: Mapping[str, set[str]]) -> dict[str, str]:
    """Each module of the package that is loaded with one, with the module that asks for it first."""
    asked_by, waiting = {name: name}, [name]
    for module in waiting:  # it grows
        for other in sorted({*graph[module], *packages_around(module)}):
            if other not in asked_by:
                asked_by[other] = module
                waiting.append(other)
    return asked_by
