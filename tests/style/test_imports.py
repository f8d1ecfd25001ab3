"""Each name that is imported from the project is there: a type checker may trust what it kept."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("harness", "tests")
OURS = ("frame_harness", "tests")


def imported(text: str) -> Iterator[tuple[str, str]]:
    """Modules of the project that a text imports from, with the name; an empty one for the module itself."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            pairs = [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            pairs = [(alias.name, "") for alias in node.names]
        else:
            continue
        yield from (pair for pair in pairs if pair[0].partition(".")[0] in OURS)


def is_there(module: str, name: str) -> bool:
    try:
        found = importlib.import_module(module)
        return not name or hasattr(found, name) or importlib.util.find_spec(f"{module}.{name}") is not None
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OURS:
            return False
        raise


def test_each_name_that_is_imported_from_the_project_is_there() -> None:
    wanted: dict[tuple[str, str], str] = {}
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for pair in imported(file.read_text(encoding="utf-8")):
                wanted.setdefault(pair, str(file.relative_to(ROOT)))
    assert len(wanted) > 1000
    assert [
        f"{file}: {module}.{name}" for (module, name), file in wanted.items() if not is_there(module, name)
    ] == []


def test_an_import_of_what_was_moved_is_seen() -> None:
    text = "from frame_harness.base.errors import HarnessError, Moved\nfrom frame_harness.gone import x\n"
    assert [is_there(*pair) for pair in imported(text)] == [True, False, False]
