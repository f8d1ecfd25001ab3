"""Operators on what is gone through: ranges, loops, iterators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frame_harness.mutation.atomics import method_call
from frame_harness.mutation.literals import moved
from frame_harness.mutation.mutants import Operator
from frame_harness.mutation.source import Edit, RustSource

if TYPE_CHECKING:
    from tree_sitter import Node


def edits(source: RustSource, node: Node) -> Iterator[Edit]:
    """Yield what these operators make of a node."""
    if node.type == "range_expression":
        yield from _range(source, node)
    elif node.type == "for_expression":
        value = node.child_by_field_name("value")
        if value is not None and value.type != "range_expression":
            yield from _values(source, value)
    elif node.type == "call_expression" and not _is_gone_through(node):
        call = method_call(source, node)
        if call is not None and call.name in ("iter", "iter_mut") and not call.arguments:
            text = source.of_node(node)
            yield source.replaced(Operator.FIRST_LEFT_OUT, node, f"{text}.skip(1)")
            yield source.replaced(Operator.LAST_LEFT_OUT, node, f"{text}.rev().skip(1).rev()")


def _range(source: RustSource, node: Node) -> Iterator[Edit]:
    at = next(place for place, child in enumerate(node.children) if child.type in ("..", "..="))
    sign = node.children[at]
    for start in node.children[:at]:
        yield source.replaced(Operator.FIRST_LEFT_OUT, start, _by_one(source, start, 1))
    for end in node.children[at + 1 :]:
        yield source.replaced(Operator.RANGE_END, sign, ".." if sign.type == "..=" else "..=")
        if sign.type == "..":
            yield source.replaced(Operator.LAST_LEFT_OUT, end, _by_one(source, end, -1))


def _by_one(source: RustSource, node: Node, by: int) -> str:
    text = source.of_node(node)
    if node.type == "integer_literal" and (by > 0 or text != "0"):
        return moved(text, by)
    text = f"({text})" if node.type == "binary_expression" else text
    return f"{text} {'+' if by > 0 else '-'} 1"


def _values(source: RustSource, node: Node) -> Iterator[Edit]:
    text = source.of_node(node)
    yield source.replaced(Operator.FIRST_LEFT_OUT, node, f"({text}).into_iter().skip(1)")
    without_last = f"{{ let mut rest = ({text}).into_iter(); rest.next_back(); rest }}"
    yield source.replaced(Operator.LAST_LEFT_OUT, node, without_last)


def _is_gone_through(node: Node) -> bool:
    parent = node.parent
    return (
        parent is not None and parent.type == "for_expression" and parent.child_by_field_name("value") == node
    )
