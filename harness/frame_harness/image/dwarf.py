"""Answers questions about types, functions, lines from a file's debug information."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from elftools.elf.elffile import ELFFile

from frame_harness.base.units import Vaddr
from frame_harness.contract.layout import StructLayout
from frame_harness.image import dies, types
from frame_harness.image.demangle import demangle
from frame_harness.image.elf import open_elf, reading
from frame_harness.image.elf_cache import cached
from frame_harness.image.errors import ImageError
from frame_harness.image.places import Place, Places

_OF_A_NAME = frozenset({"structs", "variants"})
_TYPES = frozenset({"DW_TAG_structure_type", "DW_TAG_enumeration_type"})
_SCOPES = _TYPES | {"DW_TAG_namespace", "DW_TAG_union_type"}
_QUIET = frozenset({"DW_TAG_subprogram"})  # what lies inside are locals: nine of ten entries
# The compiler's own crates: a kernel's types and functions, their generic ones included, are elsewhere.
_FOREIGN_CRATES = frozenset({"core", "alloc", "std", "compiler_builtins"})


_PLAIN = re.compile(r"[\w:]+")  # neither generic nor made up by the compiler: tuples, slices, closures


class Dwarf:
    """The debug information of one file, read once and cached on disk."""

    def __init__(self, path: Path, sha256: str) -> None:
        self._path = path
        self._sha256 = sha256
        self._dtypes: dict[str, np.dtype[np.void]] = {}

    @classmethod
    def of(cls, path: Path, sha256: str | None = None) -> Dwarf:
        """Return the view of a file; its sha256 names what is cached on disk."""
        return cls(path, sha256 or hashlib.sha256(open_elf(path).stream.read()).hexdigest())

    def layout(self, type_name: str) -> StructLayout:
        """Return a structure's layout; see `Image.layout`.

        Raises:
            ImageError: no such structure, several different ones, or no debug information.
        """
        return types.to_layout(type_name.rpartition("::")[2], self._shape(type_name))

    def dtype(self, type_name: str) -> np.dtype[np.void]:
        """Return a structure as a numpy type; see `Image.dtype`."""
        if type_name not in self._dtypes:  # asked for at each look at a guest's memory
            self._dtypes[type_name] = types.to_dtype(self._shape(type_name))
        return self._dtypes[type_name]

    def variants(self, type_name: str) -> tuple[str, ...]:
        """Return the names of an enum's variants; see `Image.variants`.

        Raises:
            ImageError: no such enum, several different ones, or no debug information.
        """
        found = {tuple(names) for _, names in _by_suffix(self._types(type_name)["variants"], type_name)}
        if len(found) != 1:
            actual = " or ".join(" ".join(names) for names in sorted(found)) or "none of that name"
            raise ImageError(f"{self._path}", "type", expected=f"one enum {type_name}", actual=actual)
        return found.pop()

    def function_line(self, name: str) -> tuple[str, int] | None:
        """Return (file, line) of a function's declaration; see `Image.function_line`."""
        found = _by_suffix(self._functions, name)
        return (str(found[0][1][0]), int(found[0][1][1])) if found else None

    def places_of(self, vaddr: Vaddr) -> list[Place]:
        """Return the place of the code at an address, then that of each call that it was inlined into."""
        return self._places.at(vaddr)

    def _shape(self, type_name: str) -> types.Shape:
        found: list[tuple[str, types.Shape]] = _by_suffix(self._types(type_name)["structs"], type_name)
        if not found:
            raise ImageError(
                f"{self._path}", "type", expected=f"a structure {type_name}", actual="none of that name"
            )
        if any(shape != found[0][1] for _, shape in found):
            names = ", ".join(name for name, _ in found)
            raise ImageError(f"{self._path}", "type", expected=f"one structure {type_name}", actual=names)
        return list(found[0][1])

    def _types(self, type_name: str) -> dict[str, dict[str, Any]]:
        """Return each structure and enum that bears the last part of a name, by full path."""
        name = type_name.rpartition("::")[2]

        def read() -> dict[str, Any]:
            with reading(self._path):
                return _read_types(self._units, name)

        # Any text may be asked for, also one that is no name of a file.
        return cached(
            self._sha256, f"type-{hashlib.sha256(name.encode()).hexdigest()[:16]}", _OF_A_NAME, read
        )

    @cached_property
    def _functions(self) -> dict[str, list[Any]]:
        def read() -> dict[str, Any]:
            with reading(self._path):
                return {"functions": _read_functions(self._units)}

        found: dict[str, list[Any]] = cached(self._sha256, "functions", {"functions"}, read)["functions"]
        return found

    @cached_property
    def _units(self) -> dies.Units:
        return dies.Units(self._open().get_dwarf_info())

    @cached_property
    def _places(self) -> Places:
        return Places(self._path)

    def _open(self) -> ELFFile:
        file = open_elf(self._path)
        if not file.has_dwarf_info(strict=True):
            raise ImageError(f"{self._path}", expected="debug information", actual="none (stripped?)")
        return file


def _read_types(units: dies.Units, name: str) -> dict[str, Any]:
    """Return every structure and enum of that name in the kernel's own crates, by full path."""
    shapes = types.Shapes(units)
    structs: dict[str, types.Shape] = {}
    variants: dict[str, list[str]] = {}
    for unit in units.naming(name):
        for path, die in _named(unit, _TYPES, name):
            if not _PLAIN.fullmatch(path):
                continue
            if die.tag == "DW_TAG_enumeration_type":
                variants[path] = types.variants_of(unit, die.offset)
            elif "DW_AT_byte_size" in unit.attribute_names(die.offset):
                shape = shapes.of(die.offset)
                if shape[0] == "record":
                    structs[path] = shape
                elif names := types.variants_of(unit, die.offset):
                    variants[path] = names
    return {"structs": structs, "variants": variants}


def _read_functions(units: dies.Units) -> dict[str, tuple[str, int]]:
    """Return where every function of the kernel's own crates is declared, by full path."""
    functions: dict[str, tuple[str, int]] = {}
    for unit in units:
        files = cache(partial(units.files, unit))
        for path, die in _named(unit, _QUIET):
            attributes = unit.attributes(die.offset)
            if attributes.get("DW_AT_decl_line"):
                _note_function(functions, path, attributes, files)
    return functions


def _named(
    unit: dies.CompilationUnit, tags: frozenset[str], name: str | None = None
) -> Iterator[tuple[str, dies.Die]]:
    """Give the entries of some tags in a unit with their full paths; of the compiler's own crates none.

    Args:
        name: the only one that counts.
    """
    if is_foreign(str(unit.attribute(unit.first, "DW_AT_name"))):
        return
    scope: list[str] = []  # names of the entries above, one a depth, from depth 1 on
    for die in unit.entries(below=_QUIET):
        wanted = die.tag in tags
        if die.depth == 0 or not (wanted or die.has_children):
            continue
        own = unit.attribute(die.offset, "DW_AT_name") if wanted or die.tag in _SCOPES else "?"
        scope[die.depth - 1 :] = [str(own)]
        if wanted and own is not None and name in (None, own) and scope[0] not in _FOREIGN_CRATES:
            yield "::".join(scope), die


def _note_function(
    functions: dict[str, tuple[str, int]],
    path: str,
    attributes: dict[str, Any],
    files: Callable[[], list[str]],
) -> None:
    """Keep where a function is declared; most units repeat what others told before."""
    function = _function_path(path, str(attributes.get("DW_AT_linkage_name", "")))
    if function not in functions:
        file, names = int(attributes.get("DW_AT_decl_file", 0)), files()
        functions[function] = (names[file] if file < len(names) else "?", int(attributes["DW_AT_decl_line"]))


def _function_path(path: str, linkage_name: str) -> str:
    """Return a function's path without generic arguments; a trait's function under its type's name."""
    # <kernel_shim::memory::frame::Frames as core::iter::traits::iterator::Iterator>::next
    implemented = re.match(r"<(.+?) as .+>::(\w+)$", demangle(linkage_name)) if "{impl#" in path else None
    if implemented:
        path = f"{implemented[1]}::{implemented[2]}"
    depth, cached = 0, []
    for at, char in enumerate(path):
        closes = char == ">" and path[at - 1] != "-"
        depth += (char == "<") - closes
        if depth == 0 and not closes:
            cached.append(char)
    return "".join(cached)


def _by_suffix(names: dict[str, Any], wanted: str) -> list[tuple[str, Any]]:
    exact = [(wanted, names[wanted])] if wanted in names else []
    return exact or [(name, value) for name, value in names.items() if name.endswith(f"::{wanted}")]


def is_foreign(unit_name: str) -> bool:
    """Whether a unit of this name is of the compiler's own crates."""
    # src/main.rs/@/kernel_shim.5a0ad1b2-cgu.0
    return unit_name.partition("/@/")[2].partition(".")[0] in _FOREIGN_CRATES
