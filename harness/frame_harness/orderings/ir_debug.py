"""Answers from the debug metadata of LLVM IR: where code comes from, where fields lie."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cache, cached_property

from frame_harness.image.errors import ImageError
from frame_harness.orderings.ir_text import plain_text

_NODE = re.compile(r"^!(\d+) = (?:distinct )?(!?\w*)[({](.*)[)}]$", re.MULTILINE)
_ATTRIBUTE = re.compile(r'(\w+): ("(?:[^"\\]|\\.)*"|![0-9]+|[^,"]+)')


@dataclass(frozen=True)
class IrPlace:
    """One source position with the function it belongs to, as `Type::method` or `function`."""

    function: str
    file: str
    line: int


@dataclass(frozen=True)
class Subprogram:
    """One function as the compiler knows it; `linkage` is its symbol."""

    name: str
    file: str
    line: int
    linkage: str


class DebugInfo:
    """The `!N = !DI...` nodes of one module; read when asked for."""

    def __init__(self, text: str) -> None:
        self._nodes = {int(match[1]): (match[2], match[3]) for match in _NODE.finditer(text)}
        self._attributes = cache(self._parse)
        self.places = cache(self._places)
        self._subprogram_of = cache(self._find_subprogram)
        self._file = cache(self._read_file)

    def _parse(self, node: int) -> dict[str, str]:
        kind, body = self._nodes.get(node, ("", ""))
        if not kind:
            return {}
        found = {name: value.strip().strip('"') for name, value in _ATTRIBUTE.findall(body)}
        return {"kind": kind.removeprefix("!"), **found}

    def _reference(self, node: int, name: str) -> int | None:
        value = self._attributes(node).get(name, "")
        return int(value[1:]) if value.startswith("!") else None

    def _read_file(self, node: int | None) -> str:
        if node is None:
            return ""
        file = self._attributes(node)
        return plain_text(posixpath.join(file.get("directory", ""), file.get("filename", "")))

    def _find_subprogram(self, scope: int | None) -> int | None:
        while scope is not None and self._attributes(scope).get("kind") != "DISubprogram":
            scope = self._reference(scope, "scope")
        return scope

    def _places(self, location: int | None) -> tuple[IrPlace, ...]:
        """Return where an instruction comes from, innermost inlined function first."""
        found: list[IrPlace] = []
        while location is not None:
            node = self._attributes(location)
            function = self._subprogram_of(self._reference(location, "scope"))
            if function is not None:
                program = self.subprogram(function)
                found.append(IrPlace(program.name, program.file, int(node.get("line", "0"))))
            location = self._reference(location, "inlinedAt")
        return tuple(found)

    def subprogram(self, node: int) -> Subprogram:
        """Return the function that a DISubprogram node describes."""
        found = self._attributes(node)
        # Closures lie in a namespace named after their function, methods in their type.
        scope = self._reference(node, "scope")
        outer = self._attributes(scope) if scope is not None else {}
        name = re.sub(r"<.*>$", "", found.get("name", ""))
        if outer.get("kind") == "DICompositeType":
            name = f"{outer.get('name', '')}::{name}"
        file = self._file(self._reference(node, "file"))
        return Subprogram(name, file, int(found.get("line", "0")), found.get("linkageName", ""))

    def namespace(self, node: int) -> tuple[str, ...]:
        """Return the namespaces in which a function or a type lies, outermost first; its type left out."""
        found = list[str]()
        scope = self._reference(node, "scope")
        while scope is not None:
            outer = self._attributes(scope)
            found += [outer.get("name", "")] if outer.get("kind") == "DINamespace" else []
            scope = self._reference(scope, "scope")
        return tuple(reversed(found))

    @cached_property
    def _structures(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for node, (kind, body) in self._nodes.items():
            if kind == "!DICompositeType" and "DW_TAG_structure_type" in body:
                found.setdefault(self._attributes(node).get("name", ""), []).append(node)
        return found

    def fields(self, structure: str, namespace: tuple[str, ...] = ()) -> dict[int, str]:
        """Return the names of a structure's scalar fields by offset in bytes, nested ones included.

        A field counts as scalar when it wraps one number, as the atomics of `core` do.

        Args:
            namespace: of several structures of that name, the one that lies there counts.
        Raises:
            ImageError: the module's debug metadata has no such structure, or several.
        """
        nodes = self._structures.get(structure, [])
        there = [node for node in nodes if self.namespace(node) == namespace] or nodes
        found = [dict(self._members(node, 0, "")) for node in there]
        if not found or found.count(found[0]) != len(found):
            got = f"{len(found)} that differ" if found else "none"
            raise ImageError(f"debug metadata: {structure}: expected a structure of this name, got {got}")
        return found[0]

    def _members(self, structure: int, base: int, name: str) -> list[tuple[int, str]]:
        if name and self._attributes(structure).get("name", "").startswith("Atomic"):
            return [(base, name)]
        found: list[tuple[int, str]] = []
        for member in self._elements(structure):
            node = self._attributes(member)
            if node.get("tag") != "DW_TAG_member":
                continue
            offset, inner = base + int(node.get("offset", "0")) // 8, self._reference(member, "baseType")
            field = node.get("name", "")
            if inner is not None and self._attributes(inner).get("tag") == "DW_TAG_structure_type":
                found += self._members(inner, offset, field)
            else:
                found.append((offset, field))
        return found

    def _elements(self, structure: int) -> list[int]:
        node = self._reference(structure, "elements")
        return (
            [int(found) for found in re.findall(r"!(\d+)", self._nodes[node][1])]
            if node in self._nodes
            else []
        )

    @cached_property
    def crate_dir(self) -> str:
        """The folder in which the compiler ran; the crate's own files lie below it."""
        unit = next((node for node, (kind, _) in self._nodes.items() if kind == "!DICompileUnit"), None)
        file = self._reference(unit, "file") if unit is not None else None
        return self._attributes(file).get("directory", "") if file is not None else ""

    def static_name(self, expression: int) -> str:
        """Return the source name of the global that a `!dbg` attachment of a global leads to."""
        variable = self._reference(expression, "var")
        return self._attributes(variable).get("name", "") if variable is not None else ""

    def static_type(self, expression: int) -> str:
        """Return the name of the type of the global that a `!dbg` attachment of a global leads to."""
        variable = self._reference(expression, "var")
        kind = None if variable is None else self._reference(variable, "type")
        return "" if kind is None else self._attributes(kind).get("name", "")

    def static_file(self, expression: int) -> str:
        """Return the source file of the global that a `!dbg` attachment of a global leads to."""
        variable = self._reference(expression, "var")
        return "" if variable is None else self._file(self._reference(variable, "file"))
