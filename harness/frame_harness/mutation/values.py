"""The operator that lets a function return a fixed value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from frame_harness.mutation.facts import DeclaredFacts
from frame_harness.mutation.mutants import Operator
from frame_harness.mutation.source import Edit, RustSource, parts

if TYPE_CHECKING:
    from tree_sitter import Node

_MOST: Final = 3
"""Values of a type that are tried."""
_PLAIN: Final = {
    "bool": ("true", "false"),
    **dict.fromkeys(("u8", "u16", "u32", "u64", "u128", "usize"), ("0", "1")),
    **dict.fromkeys(("i8", "i16", "i32", "i64", "i128", "isize"), ("0", "1", "-1")),
    "PhysAddr": ("PhysAddr::new(0)",),
    "VirtAddr": ("VirtAddr::new(0)",),
}


def edits(facts: DeclaredFacts, source: RustSource, node: Node) -> Iterator[Edit]:
    """Yield what this operator makes of a node."""
    body = node.child_by_field_name("body")
    if node.type != "function_item" or body is None or not parts(body):
        return
    kind = node.child_by_field_name("return_type")
    inner = parts(body)
    # What leaves out statements empties the body of a single one.
    for value in _values(facts, source, kind) if kind is not None else ["()"]:
        if len(inner) > 1 or (kind is not None and source.of_node(inner[0]) != value):
            yield source.replaced(Operator.FUNCTION_VALUE, body, f"{{ {value} }}")


def _values(facts: DeclaredFacts, source: RustSource, kind: Node) -> list[str]:
    """Return values that something of a type may have; none where nothing is known of it."""
    text = source.of_node(kind)
    match kind.type:
        case "unit_type":
            return ["()"]
        case "primitive_type" | "type_identifier":
            variants = [f"{text}::{name}" for name in facts.variants.get(text, [])]
            return [*_PLAIN.get(text, ()), *variants][:_MOST]
        case "reference_type" if text.replace("'static ", "") == "&str":
            return ['""', '"xyzzy"']
        case "tuple_type":
            each = [_values(facts, source, one) for one in parts(kind)]
            return [f"({', '.join(values)})" for values in zip(*each, strict=False)][:_MOST]
        case "generic_type":
            return _of_generic(facts, source, kind)
    return []


def _of_generic(facts: DeclaredFacts, source: RustSource, kind: Node) -> list[str]:
    name, arguments = (kind.child_by_field_name(one) for one in ("type", "type_arguments"))
    given = parts(arguments) if arguments else []
    named = source.of_node(name) if name else ""
    each = [_values(facts, source, one) for one in given]
    if named == "Option" and len(each) == 1:
        return ["None", *(f"Some({value})" for value in each[0])]
    if named == "Result" and each:
        failed = each[1] if len(each) > 1 else []
        return [*(f"Ok({value})" for value in each[0]), *(f"Err({value})" for value in failed[:1])]
    return []
