"""Operators that mistake one thing for another of the same type, and one width for another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from frame_harness.mutation.atomics import called, method_call
from frame_harness.mutation.facts import DeclaredFacts, type_of
from frame_harness.mutation.mutants import Operator
from frame_harness.mutation.source import Edit, RustSource, parts

if TYPE_CHECKING:
    from tree_sitter import Node

_BITS: Final = {"u16": 16, "u32": 32, "u64": 64, "usize": 64, "i16": 16, "i32": 32, "i64": 64, "isize": 64}
_NARROW: Final = (8, 16)
_VALUES: Final = (
    "identifier", "field_expression", "call_expression", "binary_expression",
    "type_cast_expression", "parenthesized_expression",
)  # fmt: skip
_HOLDERS: Final = {
    "let_declaration": "value", "assignment_expression": "right", "field_initializer": "value",
    "type_cast_expression": "value", "compound_assignment_expr": "right",
}  # fmt: skip
_MIN_MAX: Final = {"min": "max", "max": "min", "fetch_min": "fetch_max", "fetch_max": "fetch_min"}
_MODES: Final = re.compile(r"(wrapping|saturating|checked)_(\w+)")
_SATURATING: Final = ("add", "sub", "mul", "pow")


def edits(facts: DeclaredFacts, source: RustSource, node: Node) -> Iterator[Edit]:
    """Yield what these operators make of a node."""
    match node.type:
        case "field_expression":
            yield from _wrong_field(facts, source, node)
        case "scoped_identifier" | "identifier":
            yield from _wrong_name(facts, source, node)
        case "call_expression":
            yield from _swapped(facts, source, node)
            yield from _other_method(source, node)
    if _is_narrowed_here(node):
        yield from _narrowed(facts, source, node)


def _wrong_field(facts: DeclaredFacts, source: RustSource, node: Node) -> Iterator[Edit]:
    value, name = (node.child_by_field_name(one) for one in ("value", "field"))
    called_there = node.parent is not None and node.parent.child_by_field_name("function") == node
    if value is None or name is None or name.type != "field_identifier" or called_there:
        return
    owner = _type_around(source, node) if source.of_node(value) == "self" else None
    others = facts.like_field(source.of_node(name), owner)
    for other in dict.fromkeys((*others[:1], *others[-1:])):
        yield source.replaced(Operator.WRONG_FIELD, name, other)


def _type_around(source: RustSource, node: Node) -> str | None:
    """Return the type whose `impl` a node stands in."""
    outer = node.parent
    while outer is not None and outer.type != "impl_item":
        outer = outer.parent
    kind = outer.child_by_field_name("type") if outer is not None else None
    return source.of_node(kind).partition("<")[0] if kind is not None else None


def _wrong_name(facts: DeclaredFacts, source: RustSource, node: Node) -> Iterator[Edit]:
    if (
        node.parent is None
        or node.parent.type == "scoped_identifier"
        or node.parent.child_by_field_name("name") == node
    ):
        return
    path, double, name = source.of_node(node).rpartition("::")
    module = path.rpartition("::")[2]
    module = (_type_around(source, node) or "") if module == "Self" else module
    others = facts.like_constant(module, name) or (facts.like_variant(module, name) if double else [])
    for other in others[:1]:
        yield source.replaced(Operator.WRONG_CONSTANT, node, f"{path}{double}{other}")


def _swapped(facts: DeclaredFacts, source: RustSource, node: Node) -> Iterator[Edit]:
    arguments = node.child_by_field_name("arguments")
    given = parts(arguments) if arguments else []
    name = called(source, node)
    signature = facts.signature(name)
    kinds = signature.parameters if signature else ()
    if name.startswith("compare_exchange") and len(given) == 4:
        kinds = ("value", "value", "success", "failure")
    for at in range(min(len(kinds), len(given)) - 1):
        first, second = (source.of_node(one) for one in given[at : at + 2])
        if kinds[at] == kinds[at + 1] and first != second:
            between = source.text[given[at].end_byte : given[at + 1].start_byte].decode()
            after = f"{second}{between}{first}"
            yield Edit(Operator.ARGUMENTS_SWAPPED, given[at].start_byte, given[at + 1].end_byte, after)


def _other_method(source: RustSource, node: Node) -> Iterator[Edit]:
    function, name = node.child_by_field_name("function"), called(source, node)
    if function is None:
        return
    end = function.end_byte
    if name in _MIN_MAX:
        yield Edit(Operator.MIN_MAX, end - len(name), end, _MIN_MAX[name])
    mode, call = _MODES.fullmatch(name), method_call(source, node)
    if mode is None or call is None:
        return
    if mode[1] == "checked":
        text = ", ".join(source.of_node(one) for one in call.arguments)
        yield source.replaced(Operator.OVERFLOW, node, f"Some({call.receiver}.wrapping_{mode[2]}({text}))")
    elif mode[2] in _SATURATING:
        other = "saturating" if mode[1] == "wrapping" else "wrapping"
        yield Edit(Operator.OVERFLOW, end - len(name), end, f"{other}_{mode[2]}")


def _is_narrowed_here(node: Node) -> bool:
    """Tell whether a node is a value on its way: an argument, what is assigned, converted or returned."""
    parent = node.parent
    # A converted value is narrowed where the result of the conversion is not.
    if parent is None or node.type not in _VALUES or _is_narrowed_here(parent):
        return False
    if parent.type == "arguments":
        return True
    if parent.type in _HOLDERS:
        return parent.child_by_field_name(_HOLDERS[parent.type]) == node
    is_body = parent.type == "block" and parent.parent is not None and parent.parent.type == "function_item"
    return parent.type == "return_expression" or (is_body and parts(parent)[-1] == node)


def _narrowed(facts: DeclaredFacts, source: RustSource, node: Node) -> Iterator[Edit]:
    kind = None if source.of_node(node).isupper() else type_of(facts, source, node)  # a constant is small
    bits = _BITS.get(kind or "", 0)
    for narrow in _NARROW:
        if kind is not None and narrow < bits:
            text = source.of_node(node)
            text = text if node.type in ("identifier", "field_expression") else f"({text})"
            after = f"({text} as {kind[0]}{narrow} as {kind})"
            yield source.replaced(Operator.NARROWED, node, after)
