"""Tells which statics a core declares, and which of them are the shim's locks.

What another lock holds says nothing of an owner.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from frame_harness.image import dies
from frame_harness.image.demangle import demangle
from frame_harness.image.elf import open_elf, reading
from frame_harness.image.elf_cache import cached
from frame_harness.image.image import Image
from frame_harness.image.placed import CRATE

_LOCK: Final = f"{CRATE}::sync::spinlock::SpinLock<"
_SCOPES: Final = frozenset({"DW_TAG_namespace", "DW_TAG_structure_type"})
_VARIABLE: Final = "DW_TAG_variable"
_QUIET: Final = frozenset({"DW_TAG_subprogram"})


def declared_statics(image: Image, paths: Sequence[str]) -> dict[str, bool]:
    """Those of some statics, by whole path, that the text declares; optimized code need not have them.

    The value says whether the type is the shim's lock, or an array of it.
    """

    def read() -> dict[str, Any]:
        with reading(image.elf):
            units = dies.Units(open_elf(image.elf).get_dwarf_info())
            found = {path: _types_of(units, path) for path in paths}
            return {"statics": {path: _are_locks(units, of) for path, of in found.items() if of}}

    asked = hashlib.sha256(" ".join(paths).encode() + Path(__file__).read_bytes()).hexdigest()[:16]
    return dict(cached(image.sha256, f"statics-{asked}", {"statics"}, read)["statics"])


def _types_of(units: dies.Units, path: str) -> set[int]:
    return {
        _element(units, of) for unit in units.naming(path.rpartition("::")[2]) for of in _types(unit, path)
    }


def _are_locks(units: dies.Units, types: set[int]) -> bool:
    return all(_path_of(units, of).startswith(_LOCK) for of in types)


def _types(unit: dies.CompilationUnit, path: str) -> Iterator[int]:
    """Where the type of a static is that a unit has."""
    for die in unit.entries(below=_QUIET):
        if die.tag == _VARIABLE:
            found = unit.attributes(die.offset)
            if demangle(str(found.get("DW_AT_linkage_name", ""))) == path and "DW_AT_type" in found:
                yield int(found["DW_AT_type"])


def _element(units: dies.Units, of: int) -> int:
    """The type of what an array holds; any other type itself."""
    unit = units.at(of)
    return int(unit.attribute(of, "DW_AT_type") or of) if unit.tag(of) == "DW_TAG_array_type" else of


def _path_of(units: dies.Units, wanted: int) -> str:
    unit, scope = units.at(wanted), list[str]()
    for die in unit.entries(below=_QUIET):
        if die.depth and die.tag in _SCOPES:
            scope[die.depth - 1 :] = [str(unit.attribute(die.offset, "DW_AT_name"))]
            if die.offset == wanted:
                return "::".join(scope)
    return ""
