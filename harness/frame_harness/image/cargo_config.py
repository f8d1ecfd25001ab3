"""Takes from cargo's configuration files only what says where crates come from."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from frame_harness.image.errors import CargoConfigError

# Where crates come from, how they are fetched, who asks. Which crates is for the lock file to say, with their
# checksums. Everything else may change what is compiled: [profile], [build], [target], [env], [patch], paths,
# [unstable], [host], and whatever a later cargo invents.
SOURCES: Final = frozenset({"source", "registries", "registry", "http", "net", "credential-alias"})
# Of no consequence for a build. A table that is neither here nor above is refused at the root.
HARMLESS: Final = frozenset(
    {"alias", "cache", "cargo-new", "doc", "future-incompat-report", "install", "term"}
)

# Where a value is a path, or begins with a program's, relative to the folder that holds `.cargo`.
_PATHS: Final = (
    ("source", "*", "directory"),
    ("source", "*", "local-registry"),
    ("http", "cainfo"),
    ("http", "proxy-cainfo"),
)
_PROGRAMS: Final = (
    ("registry", "credential-provider"),
    ("registries", "*", "credential-provider"),
    ("credential-alias", "*"),
)
_LISTS_OF_PROGRAMS: Final = (("registry", "global-credential-providers"),)
_DEEPEST_INCLUDE: Final = 16


def sources(start: Path, cargo_home: Path) -> dict[str, Any]:
    """Return the tables of `SOURCES` that cargo would obey in a folder, merged in its order, paths absolute.

    Args:
        start: the folder; its parents are read, too.
        cargo_home: read last, with the lowest rank.
    Raises:
        CargoConfigError: a file is there that cannot be read, or that is not TOML.
    """
    merged: dict[str, Any] = {}
    for file in files(start, cargo_home):
        merged = _merged(lower=_tables(file), higher=merged)
    return merged


def files(start: Path, cargo_home: Path) -> list[Path]:
    """Return the files that cargo reads in a folder, the one that outranks the others first."""
    folders = [*(folder / ".cargo" for folder in (start, *start.parents)), cargo_home]
    found = (_file_in(folder) for folder in dict.fromkeys(folders))
    return [file for file in found if file is not None]


def split(file: Path) -> tuple[list[str], list[str]]:
    """Return the names of a file's tables that are taken over, then of those that would matter."""
    names = _read(file).keys()
    return sorted(names & SOURCES), sorted(names - SOURCES - HARMLESS - {"include"})


def check_root(root: Path = Path("/")) -> str:
    """Require that the one file that cargo reads wherever it runs changes nothing that is compiled.

    Raises:
        CargoConfigError: it may.
    Returns:
        the file's text; empty when there is none.
    """
    file = _file_in(root / ".cargo")
    if file is None:
        return ""
    tables = _read(file)
    # What it includes is not followed: a file at the root of the file system is rare enough.
    foreign = sorted(tables.keys() - SOURCES - HARMLESS)
    if foreign:
        raise CargoConfigError(
            "cargo's configuration",
            str(file),
            expected="no table that may change what is compiled",
            actual=", ".join(f"[{name}]" for name in foreign),
            next_step="cargo reads this file wherever it runs: move it into the folder that needs it",
        )
    return file.read_text(encoding="utf-8")


def render(tables: Mapping[str, Any]) -> str:
    """Return tables as the text of a configuration file."""
    return "".join(f"{name} = {inline(value)}\n" for name, value in sorted(tables.items()))


def inline(value: Any) -> str:
    """Return a value of TOML (no date) as an expression on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_quoted(key)} = {inline(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    return json.dumps(value)


def _quoted(text: str) -> str:
    # A JSON string is a TOML string but for DEL, which TOML wants escaped, and for surrogate pairs.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _file_in(folder: Path) -> Path | None:
    # Of two, cargo takes the one without an ending.
    return next((file for name in ("config", "config.toml") if (file := folder / name).is_file()), None)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise CargoConfigError(
            "cargo's configuration",
            str(file),
            expected="a file in TOML",
            actual=words,
            next_step="fix the file: it may name the mirror that crates come from",
        ) from error


def _tables(file: Path, depth: int = 0) -> dict[str, Any]:
    """Return the tables of a file with those that it includes, which rank below its own."""
    content = _read(file)
    own = {name: value for name, value in content.items() if name in SOURCES and isinstance(value, dict)}
    home = file.parent.parent
    for places, resolve in ((_PATHS, _path), (_PROGRAMS, _program), (_LISTS_OF_PROGRAMS, _programs)):
        for steps in places:
            _apply(own, steps, partial(resolve, home))
    if depth == _DEEPEST_INCLUDE:
        return own
    lower: dict[str, Any] = {}
    for name in _included(content.get("include")):
        other = file.parent / name
        if other.is_file():
            lower = _merged(lower=lower, higher=_tables(other, depth + 1))
    return _merged(lower=lower, higher=own)


def _included(value: Any) -> Iterator[str]:
    # include = "a.toml"    include = ["a.toml", { path = "b.toml", optional = true }]
    for one in value if isinstance(value, list) else [value]:
        name = one.get("path") if isinstance(one, dict) else one
        if isinstance(name, str):
            yield name


def _merged(*, lower: Mapping[str, Any], higher: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as cargo does: tables by their keys, lists joined, of two other values the higher."""
    result = dict(lower)
    for key, value in higher.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            result[key] = _merged(lower=below, higher=value)
        elif isinstance(below, list) and isinstance(value, list):
            result[key] = [*below, *value]
        else:
            result[key] = value
    return result


def _apply(table: dict[str, Any], steps: Iterable[str], change: Callable[[Any], Any]) -> None:
    step, *rest = steps
    for key in list(table) if step == "*" else [step]:
        value = table.get(key)
        if value is None:
            continue
        if not rest:
            table[key] = change(value)
        elif isinstance(value, dict):
            _apply(value, rest, change)


def _path(home: Path, value: Any) -> Any:
    return str(home / value) if isinstance(value, str) else value


def _program(home: Path, value: Any) -> Any:
    """Make the program absolute where it is a path: `bin/login --fast`, or a list of its words."""
    if isinstance(value, str):
        # The program of a text ends at the first blank.
        return re.sub(r"^\S*/\S*", lambda found: str(home / found[0]), value)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [_program(home, value[0]), *value[1:]]
    return value


def _programs(home: Path, value: Any) -> Any:
    return [_program(home, one) for one in value] if isinstance(value, list) else value
