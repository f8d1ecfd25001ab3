"""A Rust source as tree-sitter parses it, without what holds no code that is judged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from frame_harness.base.errors import HarnessError, MissingToolError
from frame_harness.mutation.mutants import Operator
from frame_harness.mutation.patterns import COMMENTS, without_patterns

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Tree

ASSERTIONS: Final = {
    "assert": 1, "debug_assert": 1,
    "assert_eq": 2, "assert_ne": 2, "debug_assert_eq": 2, "debug_assert_ne": 2,
}  # fmt: skip
"""Macros that take expressions, and how many of them; what follows is the message."""
OPENED: Final = {**ASSERTIONS, "matches": 1}
# The parser leaves a macro's arguments as they are. With another sign in the place of `!` it is a call.
_MACRO: Final = re.compile(rb"\b(" + b"|".join(name.encode() for name in OPENED) + rb")!(?=\s*\()")
_IN_TEST: Final = re.compile(r"^cfg\s*\(\s*(?:test|all\s*\(\s*test\b.*)\s*\)$|^(?:\w+::)*test$", re.DOTALL)
_WITHOUT_CODE: Final = frozenset(
    {
        *COMMENTS, "attribute_item", "inner_attribute_item", "use_declaration", "macro_definition",
        "macro_invocation", "type_item", "struct_item", "enum_item", "union_item", "extern_crate_declaration",
        "token_tree", "visibility_modifier", "type_arguments", "parameters", "closure_parameters",
        "array_type", "generic_type", "reference_type", "pointer_type", "function_type",
    }
)  # fmt: skip


class NotRust(HarnessError):
    """A source that the parser cannot read."""


class Edit(NamedTuple):
    """What an operator makes of a place: the bytes from `start` to `end` become another text."""

    operator: Operator
    start: int
    end: int
    after: str


@dataclass(frozen=True)
class RustSource:
    """One file.

    Attributes:
        name: as the caller calls it.
        text: of the file.
        tree: of the text, in which the macros of `OPENED` are calls of functions, without a pattern.
        imported: the names that stand in its `use` declarations.
    """

    name: str
    text: bytes
    tree: Tree
    imported: frozenset[str]

    @classmethod
    def of(cls, name: str, text: bytes) -> RustSource:
        """Parse a file.

        Raises:
            NotRust: it is not UTF-8, or the parser finds an error in it.
        """
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _refused(name, "text in UTF-8", f"another byte at {error.start}") from error
        expressions = without_patterns(text, _parser().parse(text))
        tree = _parser().parse(_MACRO.sub(lambda found: found[1] + b"_", expressions))
        if tree.root_node.has_error:
            wrong = next(node for node in _all(tree.root_node) if node.is_error or node.is_missing)
            place = f"an error in line {wrong.start_point.row + 1}"
            raise _refused(name, "Rust that the parser knows", place)
        uses = (node for node in below(tree.root_node) if node.type == "use_declaration")
        names = (one for node in uses for one in below(node) if one.type == "identifier")
        imported = frozenset(text[one.start_byte : one.end_byte].decode() for one in names)
        return cls(name, text, tree, imported)

    def of_node(self, node: Node) -> str:
        """Return the text of a node."""
        return self.text[node.start_byte : node.end_byte].decode()

    def replaced(self, operator: Operator, node: Node, after: str) -> Edit:
        """Return the edit that puts a text in the place of a node."""
        return Edit(operator, node.start_byte, node.end_byte, after)

    def places(self) -> Iterator[tuple[Node, str]]:
        """Yield every node of code that is judged, in the order of the text, and the path of its item."""
        yield from self._below(self.tree.root_node, ())

    def _below(self, node: Node, path: tuple[str, ...]) -> Iterator[tuple[Node, str]]:
        is_left_out = False
        for child in node.named_children:
            if child.type == "attribute_item":
                is_left_out |= _IN_TEST.search(self.of_node(child)[2:-1].strip()) is not None
            elif child.type not in _WITHOUT_CODE:
                if not is_left_out and not self._is_message(child):
                    own = self._path(child, path)
                    if own is not None:
                        yield child, "::".join(own)
                        yield from self._below(child, own)
                is_left_out = False
            elif child.type not in COMMENTS:
                is_left_out = False

    def _path(self, node: Node, path: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the path of the item that a node belongs to; None of one that has no part in a program."""
        if node.type == "impl_item":
            owner = node.child_by_field_name("type")
            inner = owner.child_by_field_name("type") if owner and owner.type == "generic_type" else owner
            return (*path, self.of_node(inner)) if inner else path
        if node.type in ("mod_item", "trait_item", "function_item", "const_item", "static_item"):
            name = node.child_by_field_name("name")
            named = self.of_node(name) if name else "_"
            return None if named == "_" else (*path, named)  # `const _` holds assertions for the compiler
        return path

    def _is_message(self, node: Node) -> bool:
        """Tell whether a node is what an assertion prints."""
        call = node.parent.parent if node.parent and node.parent.type == "arguments" else None
        if node.parent is None or call is None or (macro := self.macro_of(call)) is None:
            return False
        arguments = [one for one in node.parent.named_children if one.type not in COMMENTS]
        return node in arguments[OPENED[macro] :]

    def macro_of(self, call: Node) -> str | None:
        """Return the name of the macro of `OPENED` that a call stands for; None for a call."""
        name = call.child_by_field_name("function")
        if call.type != "call_expression" or name is None or name.type != "identifier":
            return None
        text = self.of_node(name)
        return text[:-1] if text.endswith("!") and text[:-1] in OPENED else None  # `!` is `_` to the parser


def _refused(name: str, expected: str, actual: str) -> NotRust:
    return NotRust(
        "mutants", name, expected=expected, actual=actual, next_step="name a file that the compiler takes"
    )


@cache
def _parser() -> Parser:
    try:
        import tree_sitter_rust  # noqa: PLC0415  part of an extra: all else works without it
        from tree_sitter import Language, Parser  # noqa: PLC0415
    except ImportError as error:
        raise MissingToolError(
            "mutants", error.name or "tree-sitter", expected="installed", actual="not there",
            next_step="pip install 'frame-harness[campaign]'",
        ) from error  # fmt: skip
    return Parser(Language(tree_sitter_rust.language()))


def _all(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _all(child)


def below(node: Node) -> Iterator[Node]:
    """Yield a node and all that is in it."""
    yield node
    for child in node.named_children:
        yield from below(child)


def function_lines(source: RustSource, at: int) -> range | None:
    """Return the lines of the innermost function that a byte of a file is in; None outside of functions."""
    node = source.tree.root_node.descendant_for_byte_range(at, at)
    while node is not None and node.type != "function_item":
        node = node.parent
    return None if node is None else range(node.start_point.row + 1, node.end_point.row + 2)


def parts(node: Node) -> list[Node]:
    """Return what a node is made of, without comments and attributes."""
    left_out = (*COMMENTS, "attribute_item", "inner_attribute_item")
    return [child for child in node.named_children if child.type not in left_out]
