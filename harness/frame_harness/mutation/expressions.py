"""Operators on expressions: those of cargo-mutants, and conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from frame_harness.mutation.mutants import Operator
from frame_harness.mutation.source import Edit, RustSource, parts

if TYPE_CHECKING:
    from tree_sitter import Node

_ARITHMETIC: Final[Mapping[str, tuple[str, ...]]] = {
    "+": ("-", "*"), "-": ("+", "/"), "*": ("+", "/"), "/": ("%", "*"), "%": ("/", "+"),
    "<<": (">>",), ">>": ("<<",), "&": ("|", "^"), "|": ("&", "^"), "^": ("|", "&"),
}  # fmt: skip
_COMPARISON: Final[Mapping[str, tuple[str, ...]]] = {
    "==": ("!=",), "!=": ("==",),
    "<": ("==", ">", "<="), "<=": (">", "<"), ">": ("==", "<", ">="), ">=": ("<", ">"),
}  # fmt: skip
_LOGICAL: Final[Mapping[str, tuple[str, ...]]] = {"&&": ("||",), "||": ("&&",)}
_BINARY: Final = (
    (Operator.ARITHMETIC, _ARITHMETIC),
    (Operator.COMPARISON, _COMPARISON),
    (Operator.LOGICAL, _LOGICAL),
)
_CATCH_ALL: Final = ("_", "identifier")


def edits(source: RustSource, node: Node) -> Iterator[Edit]:
    """Yield what these operators make of a node."""
    match node.type:
        case "binary_expression":
            yield from _binary(source, node)
        case "compound_assignment_expr":
            yield from _assignment(source, node)
        case "unary_expression" if node.children[0].type in ("!", "-"):
            yield source.replaced(Operator.UNARY, node, source.of_node(node.named_children[0]))
        case "boolean_literal":
            yield source.replaced(Operator.BOOLEAN, node, _other(source.of_node(node)))
        case "if_expression" | "while_expression":
            yield from _condition(source, node)
        case "match_expression":
            yield from _arms(source, node)
        case "call_expression" if source.macro_of(node) == "matches":
            yield source.replaced(Operator.UNARY, node, f"!{source.of_node(node)}")
        case "struct_expression":
            yield from _fields(node)


def _binary(source: RustSource, node: Node) -> Iterator[Edit]:
    operator = node.child_by_field_name("operator")
    if operator is None:
        return
    for name, table in _BINARY:
        for other in table.get(source.of_node(operator), ()):
            yield source.replaced(name, operator, other)


def _assignment(source: RustSource, node: Node) -> Iterator[Edit]:
    operator = node.child_by_field_name("operator")
    if operator is not None:
        for other in _ARITHMETIC.get(source.of_node(operator)[:-1], ()):
            yield source.replaced(Operator.ASSIGNMENT, operator, f"{other}=")


def _condition(source: RustSource, node: Node) -> Iterator[Edit]:
    """Fix a condition. What drops the whole makes `if false` without an `else`; `while true` never ends."""
    condition = node.child_by_field_name("condition")
    if condition is None or condition.type in ("let_condition", "let_chain"):
        return
    is_loop = node.type == "while_expression"
    if not is_loop:
        yield source.replaced(Operator.CONDITION, condition, "true")
    if is_loop or node.child_by_field_name("alternative") is not None:
        yield source.replaced(Operator.CONDITION, condition, "false")


def _arms(source: RustSource, node: Node) -> Iterator[Edit]:
    body = node.child_by_field_name("body")
    arms = parts(body) if body else []
    patterns = [(arm, arm.child_by_field_name("pattern")) for arm in arms]
    for _, pattern in patterns:
        guard = pattern.child_by_field_name("condition") if pattern else None
        if guard is not None and guard.type not in ("let_condition", "let_chain"):
            yield source.replaced(Operator.MATCH_GUARD, guard, "true")
            yield source.replaced(Operator.MATCH_GUARD, guard, "false")
    if any(pattern is not None and _takes_all(source, pattern) for _, pattern in patterns):
        for arm, pattern in patterns:
            if pattern is not None and not _takes_all(source, pattern):
                yield source.replaced(Operator.MATCH_ARM, arm, "")


def _takes_all(source: RustSource, pattern: Node) -> bool:
    """Tell whether a pattern takes every value: `_`, or a name that begins like a variable."""
    inner = pattern.children[0]
    is_variable = source.of_node(inner)[:1].islower() or inner.type == "_"
    return len(pattern.children) == 1 and inner.type in _CATCH_ALL and is_variable


def _fields(node: Node) -> Iterator[Edit]:
    """Leave out each field that the expression's base has, too."""
    body = node.child_by_field_name("body")
    fields = parts(body) if body else []
    if body is None or not any(one.type == "base_field_initializer" for one in fields):
        return
    for one in fields:
        if one.type != "base_field_initializer":
            comma = one.next_sibling
            end = comma.end_byte if comma is not None and comma.type == "," else one.end_byte
            yield Edit(Operator.STRUCT_FIELD, one.start_byte, end, "")


def _other(boolean: str) -> str:
    return "false" if boolean == "true" else "true"
