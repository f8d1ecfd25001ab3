"""Operators on statements: what is left out, and what changes places."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from frame_harness.mutation.atomics import FENCES, called
from frame_harness.mutation.mutants import Operator
from frame_harness.mutation.source import ASSERTIONS, Edit, RustSource, parts

if TYPE_CHECKING:
    from tree_sitter import Node

_LEAVES: Final = ("return_expression", "break_expression", "continue_expression")
_LOOPS: Final = ("for_expression", "while_expression", "loop_expression")
_BLOCKS: Final = ("if_expression", "unsafe_block", "match_expression", "block", *_LOOPS)
"""Expressions that are statements without a semicolon."""
_ASSIGNMENTS: Final = ("assignment_expression", "compound_assignment_expr")
_MOVABLE: Final = ("call_expression", "unsafe_block", "if_expression", "for_expression", *_ASSIGNMENTS)
_STORES: Final = (
    "store", "write", "write_volatile", "write_bytes", "write_unaligned", "copy", "copy_nonoverlapping",
    "copy_from", "copy_from_nonoverlapping", "copy_to", "copy_to_nonoverlapping", "fill",
)  # fmt: skip
_LOCKS: Final = ("lock", "lock_irqsave", "write_lock", "read_lock", "lock_irq")


def edits(source: RustSource, node: Node) -> Iterator[Edit]:
    """Yield what these operators make of a node."""
    if node.type == "block":
        # What is alone in an unsafe block is left out with it.
        is_alone = node.parent is not None and node.parent.type == "unsafe_block" and len(parts(node)) == 1
        statements = [one for one in parts(node) if not is_alone and _inside(one) is not None]
        for one in statements:
            yield from _dropped(source, one)
        for first, second in pairwise(parts(node)):
            yield from _swapped(source, first, second)
    elif node.type == "try_expression":
        yield from _unchecked(source, node)
    elif node.type == "let_declaration":
        yield from _released(source, node)


def _inside(node: Node) -> Node | None:
    """Return the expression of a statement whose value nobody uses; None of something else."""
    if node.type == "expression_statement" and (node.children[-1].type == ";" or not _is_last(node)):
        return node.named_children[0]
    if not _nobody_uses(node):
        return None
    return node.named_children[0] if node.type == "expression_statement" else node


def _is_last(node: Node) -> bool:
    return node.parent is not None and parts(node.parent)[-1] == node


def _nobody_uses(node: Node) -> bool:
    """Tell whether the expression at the end of a block has no value: by what the block belongs to."""
    block = node.parent
    owner = block.parent if block is not None and block.type == "block" else None
    if owner is None or not _is_last(node) or node.type in _LEAVES:
        return False
    if owner.type in _LOOPS:
        return True
    if owner.type == "function_item":
        return owner.child_by_field_name("return_type") is None
    if owner.type == "else_clause":
        owner = owner.parent or owner
    if owner.type in ("unsafe_block", "if_expression"):
        statement = owner.parent if owner.parent and owner.parent.type == "expression_statement" else owner
        return _inside(statement) is not None
    return False


def _dropped(source: RustSource, statement: Node) -> Iterator[Edit]:
    node = _inside(statement)
    if node is not None and (operator := _operator_of(source, node)) is not None:
        yield source.replaced(operator, statement, "")


def _operator_of(source: RustSource, node: Node) -> Operator | None:
    match node.type:
        case "call_expression":
            if called(source, node) in FENCES:
                return None
            if source.macro_of(node) in ASSERTIONS:
                return Operator.CHECK_DROPPED
            return Operator.STORE_DROPPED if _is_store(source, node) else Operator.STATEMENT_DROPPED
        case "unsafe_block":
            return Operator.STORE_DROPPED if _is_store(source, node) else Operator.STATEMENT_DROPPED
        case "assignment_expression" | "compound_assignment_expr":
            return Operator.STORE_DROPPED
        case "if_expression" if node.child_by_field_name("alternative") is None:
            return Operator.EARLY_RETURN_DROPPED if _leaves(node) else Operator.CHECK_DROPPED
        case "for_expression" | "while_expression" | "try_expression" | "match_expression":
            return Operator.STATEMENT_DROPPED
    return None


def _is_store(source: RustSource, node: Node) -> bool:
    if node.type == "unsafe_block":
        inner = parts(node.named_children[-1])
        last = inner[-1] if inner else node
        last = last.named_children[0] if last.type == "expression_statement" else last
        return last.type in _ASSIGNMENTS or (last.type == "call_expression" and _is_store(source, last))
    name = called(source, node)
    return name in _STORES or name.startswith("set_")


def _leaves(node: Node) -> bool:
    """Tell whether the block of an `if` ends by leaving the function or the loop."""
    block = node.child_by_field_name("consequence")
    last = parts(block)[-1:] if block else []
    inner = [one.named_children[0] if one.type == "expression_statement" else one for one in last]
    return any(one.type in _LEAVES for one in inner)


def _swapped(source: RustSource, first: Node, second: Node) -> Iterator[Edit]:
    inner = [_inside(first), _inside(second)]
    if any(one is None or one.type not in _MOVABLE for one in inner):
        return
    texts = [_statement(source, one) for one in inner if one is not None]
    between = source.text[first.end_byte : second.start_byte].decode()
    if texts[0] != texts[1]:
        after = f"{texts[1]}{between}{texts[0]}"
        yield Edit(Operator.STORES_SWAPPED, first.start_byte, second.end_byte, after)


def _statement(source: RustSource, node: Node) -> str:
    return source.of_node(node) + ("" if node.type in _BLOCKS else ";")


def _unchecked(source: RustSource, node: Node) -> Iterator[Edit]:
    inner = source.of_node(node.named_children[0])
    if node.parent is not None and node.parent.type == "expression_statement":
        yield source.replaced(Operator.CHECK_DROPPED, node, f"let _ = {inner}")
    else:
        yield source.replaced(Operator.CHECK_DROPPED, node, f"{inner}.unwrap()")


def _released(source: RustSource, node: Node) -> Iterator[Edit]:
    """Take the name from a lock's guard that is only held: `_` is dropped at once."""
    pattern, value = (node.child_by_field_name(name) for name in ("pattern", "value"))
    if pattern is None or value is None or value.type != "call_expression":
        return
    name = source.of_node(pattern)
    if called(source, value) in _LOCKS and name.startswith("_") and name != "_":
        yield source.replaced(Operator.LOCK_RELEASED, pattern, "_")
