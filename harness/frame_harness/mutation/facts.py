"""What files declare: enough to find what could be mistaken for something else, and how wide a value is."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from frame_harness.mutation.source import RustSource, below, parts

if TYPE_CHECKING:
    from tree_sitter import Node

_ATOMIC: Final = re.compile(r"(?:\w+::)*Atomic([IU])(8|16|32|64|size)$")
_KNOWN_METHODS: Final = {"as_u64": "u64", "len": "usize", "count": "usize", "load": ""}
_DEEPEST: Final = 6


class Signature(NamedTuple):
    """The types of a function's parameters, without `self`, and of its value; as the text has them."""

    parameters: tuple[str, ...]
    value: str


@dataclass
class DeclaredFacts:
    """What is declared in some files. What is declared twice in different ways is not known.

    Attributes:
        structs: the fields of each structure with their types, in their order.
        constants: names of constants of one module or `impl` and one type, by the name of that module.
        variants: those of each enum that hold nothing.
        functions: by their names.
    """

    structs: dict[str, dict[str, str]] = field(default_factory=dict)
    constants: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    types: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    variants: dict[str, list[str]] = field(default_factory=dict)
    functions: dict[str, set[Signature]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, sources: Iterable[RustSource]) -> DeclaredFacts:
        """Collect what some files declare."""
        facts = cls()
        for source in sources:
            for node in below(source.tree.root_node):
                facts._add(source, node)
        return facts

    def _add(self, source: RustSource, node: Node) -> None:
        name, body = (node.child_by_field_name(one) for one in ("name", "body"))
        if name is None:
            return
        named = source.of_node(name)
        match node.type:
            case "struct_item" if body is not None and body.type == "field_declaration_list":
                self.structs[named] = dict(_field(source, one) for one in parts(body) if _is_field(one))
            case "enum_item" if body is not None:
                variants = [one for one in parts(body) if one.child_by_field_name("body") is None]
                self.variants[named] = [_text(source, one, "name") for one in variants]
            case "const_item":
                kind = _text(source, node, "type")
                self.constants[_module_of(source, node), kind].append(named)
                self.types[named].add(kind)
            case "function_item" | "function_signature_item":
                self.functions[named].add(_signature(source, node))

    def like_field(self, name: str, owner: str | None) -> list[str]:
        """Return the other fields of a field's type in its structure, those behind it first.

        Args:
            owner: the structure; None where only the field's name says which it is.
        """
        holders = (
            [owner] if owner in self.structs else [one for one in self.structs if name in self.structs[one]]
        )
        if len(holders) != 1 or name not in (fields := self.structs[str(holders[0])]):
            return []
        return _others(name, [one for one, kind in fields.items() if kind == fields[name]])

    def like_constant(self, module: str, name: str) -> list[str]:
        """Return the other constants of a constant's type in its module, those behind it first."""
        for (place, _), names in self.constants.items():
            if place == module and name in names:
                return _others(name, names)
        return []

    def like_variant(self, enum: str, name: str) -> list[str]:
        """Return the other variants that hold nothing, those behind it first."""
        names = self.variants.get(enum, [])
        return _others(name, names) if name in names else []

    def signature(self, name: str) -> Signature | None:
        """Return what a function takes and gives; None where several of that name differ."""
        found = self.functions.get(name, set())
        return next(iter(found)) if len(found) == 1 else None

    def field_type(self, name: str) -> str | None:
        """Return the type of a field; None where structures differ in it."""
        kinds = {fields[name] for fields in self.structs.values() if name in fields}
        return kinds.pop() if len(kinds) == 1 else None

    def constant_type(self, name: str) -> str | None:
        """Return the type of a constant; None where several of that name differ."""
        kinds = self.types.get(name, set())
        return next(iter(kinds)) if len(kinds) == 1 else None


def type_of(facts: DeclaredFacts, source: RustSource, node: Node, depth: int = 0) -> str | None:
    """Return the type of an expression, where the text says it in a simple way."""
    if depth > _DEEPEST:
        return None
    text = source.of_node(node)
    match node.type:
        case "type_cast_expression":
            return _text(source, node, "type")
        case "identifier":
            return _local(facts, source, node, depth) or facts.constant_type(text)
        case "scoped_identifier":
            return facts.constant_type(text.rpartition("::")[2])
        case "field_expression":
            return facts.field_type(_text(source, node, "field"))
        case "parenthesized_expression":
            return type_of(facts, source, node.named_children[0], depth + 1)
        case "unary_expression" | "reference_expression":
            inner = node.named_children[-1]
            return type_of(facts, source, inner, depth + 1) if node.children[0].type in ("!", "-") else None
        case "binary_expression":
            return _of_binary(facts, source, node, depth)
        case "call_expression":
            return _of_call(facts, source, node, depth)
    return None


def _of_binary(facts: DeclaredFacts, source: RustSource, node: Node, depth: int) -> str | None:
    operator = _text(source, node, "operator")
    if operator in ("==", "!=", "<", "<=", ">", ">=", "&&", "||"):
        return "bool"
    sides = [node.child_by_field_name(name) for name in ("left", "right")]
    kinds = [type_of(facts, source, side, depth + 1) for side in sides if side is not None]
    return kinds[0] if operator in ("<<", ">>") else kinds[0] or kinds[1]


def _of_call(facts: DeclaredFacts, source: RustSource, node: Node, depth: int) -> str | None:
    function = node.child_by_field_name("function")
    if function is None:
        return None
    value = function.child_by_field_name("value")
    name = source.of_node(function).rpartition("::")[2].rpartition(".")[2]
    if value is not None and (name in ("load", "swap") or name.startswith("fetch_")):
        kind = type_of(facts, source, value, depth + 1)
        atomic = _ATOMIC.match(kind or "")
        return f"{atomic[1].lower()}{atomic[2]}" if atomic else None
    if value is not None and name.startswith(("wrapping_", "saturating_", "min", "max", "div_ceil")):
        return type_of(facts, source, value, depth + 1)
    signature = facts.signature(name)
    return signature.value if signature else _KNOWN_METHODS.get(name)


def _local(facts: DeclaredFacts, source: RustSource, node: Node, depth: int) -> str | None:
    """Look a variable up: the last declaration before it in its function."""
    function = node.parent
    while function is not None and function.type != "function_item":
        function = function.parent
    if function is None:
        return None
    name, found = source.of_node(node), None
    for one in below(function):
        if one.start_byte >= node.start_byte:
            break
        if one.type in ("parameter", "let_declaration") and _text(source, one, "pattern") in (
            name,
            f"mut {name}",
        ):
            found = one
    if found is None:
        return None
    kind, value = (found.child_by_field_name(one) for one in ("type", "value"))
    if kind is not None:
        return source.of_node(kind)
    inside = value is not None and value.start_byte <= node.start_byte < value.end_byte
    return type_of(facts, source, value, depth + 1) if value is not None and not inside else None


def _signature(source: RustSource, node: Node) -> Signature:
    parameters = node.child_by_field_name("parameters")
    kinds = (
        [_text(source, one, "type") for one in parts(parameters) if one.type == "parameter"]
        if parameters
        else []
    )
    return Signature(tuple(kinds), _text(source, node, "return_type"))


def _module_of(source: RustSource, node: Node) -> str:
    """Return the last name of the module, or the type, that a constant is declared in; empty for the file."""
    outer = node.parent.parent if node.parent is not None else None
    if outer is None or outer.type not in ("mod_item", "impl_item"):
        return ""
    return _text(source, outer, "name" if outer.type == "mod_item" else "type")


def _is_field(node: Node) -> bool:
    return node.type == "field_declaration"


def _field(source: RustSource, node: Node) -> tuple[str, str]:
    return _text(source, node, "name"), _text(source, node, "type")


def _text(source: RustSource, node: Node, name: str) -> str:
    child = node.child_by_field_name(name)
    return source.of_node(child) if child is not None else ""


def _others(name: str, names: list[str]) -> list[str]:
    at = names.index(name)
    return [*names[at + 1 :], *names[:at]]
