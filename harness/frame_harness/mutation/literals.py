"""Operators on numbers that stand in the text, and on the constants of masks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from frame_harness.mutation.mutants import Operator
from frame_harness.mutation.source import Edit, RustSource

if TYPE_CHECKING:
    from tree_sitter import Node

_LITERAL: Final = re.compile(r"(0[xbo])?([0-9a-fA-F_]+?)(_?(?:[ui](?:8|16|32|64|128|size))?)$")
_BASES: Final = {"0x": (16, "x"), "0b": (2, "b"), "0o": (8, "o"), None: (10, "d")}
_MASKING: Final = ("&", "|", "^", "&=", "|=", "^=")
_LARGEST: Final = re.compile(r"[ui](?:8|16|32|64|128|size)::MAX")
_CONSTANT: Final = re.compile(r"(?:\w+::)*[A-Z][A-Z0-9_]*")
_TRANSPARENT: Final = ("parenthesized_expression", "unary_expression", "type_cast_expression")
_NOT_A_VALUE: Final = ("field_expression", "array_expression", "range_expression", "tuple_pattern")
"""Where a number is the name of a field, a length, or an end of a range: that has edits of its own."""


def edits(source: RustSource, node: Node) -> Iterator[Edit]:
    """Yield what these operators make of a node."""
    text = source.of_node(node)
    if node.type == "integer_literal":
        yield from _literal(source, node)
    elif node.type == "scoped_identifier" and _LARGEST.fullmatch(text):
        yield source.replaced(Operator.BIT, node, f"({text} >> 1)")
        yield source.replaced(Operator.BIT, node, f"({text} ^ 1)")
    elif node.type in ("identifier", "scoped_identifier") and _CONSTANT.fullmatch(text) and _masks(node):
        yield source.replaced(Operator.BIT, node, f"({text} << 1)")
        yield source.replaced(Operator.BIT, node, f"({text} >> 1)")


def moved(text: str, by: int) -> str:
    """Return an integer literal whose value is another by so much, in the same base and of the same type."""
    prefix, digits, suffix = _parts(text)
    base, form = _BASES[prefix]
    return f"{prefix or ''}{int(digits, base) + by:{form}}{suffix}"


def _parts(text: str) -> tuple[str | None, str, str]:
    found = _LITERAL.match(text)
    assert found is not None, text
    return found[1], found[2].replace("_", ""), found[3]


def _literal(source: RustSource, node: Node) -> Iterator[Edit]:
    parent = node.parent
    if parent is None or (parent.type in _NOT_A_VALUE and _of_parent(parent, node)):
        return
    text = source.of_node(node)
    prefix, digits, _ = _parts(text)
    value = int(digits, _BASES[prefix][0])
    if _masks(node) or prefix in ("0x", "0b") or parent.type in ("const_item", "static_item"):
        for other in _other_bits(value):
            yield source.replaced(Operator.BIT, node, moved(text, other - value))
    shifts = parent.type == "binary_expression" and source.of_node(parent.children[1]) in ("<<", ">>")
    operator = Operator.BIT if shifts and node == parent.named_children[-1] else Operator.LITERAL
    # Twice the one is the same as one more in the number of bits that it is shifted by.
    doubled = shifts and node == parent.named_children[0] and parent.named_children[-1].type == node.type
    for by in (-1,) if doubled else (1, -1):
        if value + by >= 0:
            yield source.replaced(operator, node, moved(text, by))


def _of_parent(parent: Node, node: Node) -> bool:
    """Tell whether a number is the part of its parent that is left alone."""
    if parent.type == "array_expression":
        return parent.child_by_field_name("length") == node
    return parent.type != "field_expression" or parent.child_by_field_name("field") == node


def _masks(node: Node) -> bool:
    """Tell whether a value is one side of an operator on bits."""
    parent = node.parent
    while parent is not None and parent.type in _TRANSPARENT:
        parent = parent.parent
    if parent is None or parent.type not in ("binary_expression", "compound_assignment_expr"):
        return False
    operator = parent.child_by_field_name("operator")
    return operator is not None and operator.type in _MASKING


def _other_bits(value: int) -> list[int]:
    """Return values that differ in one bit: the lowest that is set, the highest, the one above it."""
    if value == 0:
        return [1]
    lowest, highest = value & -value, 1 << (value.bit_length() - 1)
    return list(dict.fromkeys((value ^ lowest, value ^ highest, value ^ (highest << 1))))
