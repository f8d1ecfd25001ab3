"""Finds the patterns of `matches!`, which are no expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

COMMENTS: Final = ("line_comment", "block_comment")
"""Nodes that hold no code."""
_OPERANDS: Final = ("identifier", "self", "token_tree", "primitive_type", "crate", "super", "metavariable")
"""What `<` compares; literals, too. Behind anything else it opens the arguments of a type."""
_OF_A_TYPE: Final = ("identifier", "primitive_type", "::", "&", "*", "mut", "const", "self", "crate", "super")
_NO_LINE_END: Final = re.compile(rb"[^\n]")


def without_patterns(text: bytes, tree: Tree) -> bytes:
    """Return a text with spaces in the place of each pattern of `matches!`, every byte else where it was.

    Args:
        tree: of the text, in which macros hold tokens.
    """
    parts, end = [], 0
    for first, last in sorted(_patterns(tree.root_node)):
        if first >= end:
            parts += [text[end:first], _NO_LINE_END.sub(b" ", text[first:last])]
            end = last
    return b"".join((*parts, text[end:]))


def _patterns(node: Node) -> Iterator[tuple[int, int]]:
    before: list[Node] = []
    for child in node.children:
        if child.type == "token_tree" and _is_of_matches(before):
            yield from _pattern(child)
        yield from _patterns(child)
        if child.type not in COMMENTS:
            before.append(child)


def _is_of_matches(before: list[Node]) -> bool:
    """Tell whether the macro `matches!` stands before a tree of tokens; its path may be written, too."""
    if len(before) < 2 or before[-1].type != "!":
        return False
    text = before[-2].text
    return text is not None and text.split(b"::")[-1].strip() == b"matches"


def _pattern(arguments: Node) -> Iterator[tuple[int, int]]:
    """Yield from where to where the second argument goes; nothing where there is none."""
    depth, in_cast, before = 0, False, ""
    for token in arguments.children[1:-1]:
        kind = token.type
        if kind in COMMENTS:
            continue
        if kind == "," and depth == 0:
            yield token.end_byte, arguments.children[-1].start_byte
            return
        is_operand = before in _OPERANDS or before.endswith("_literal")
        if kind == "<" and (depth or in_cast or not is_operand):
            depth += 1
        elif kind in (">", ">>") and depth:
            depth = max(0, depth - len(kind))
        in_cast = kind == "as" or (in_cast and (depth > 0 or kind in _OF_A_TYPE))
        before = kind
