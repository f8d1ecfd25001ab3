"""Makes the mutants of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tree_sitter import Node

from frame_harness.mutation import atomics, expressions, statements
from frame_harness.mutation.mutants import Mutant, Operator, keyed
from frame_harness.mutation.source import Edit, Source

_OPERATORS: Final[tuple[Callable[[Source, Node], Iterator[Edit]], ...]] = (
    atomics.edits,
    statements.edits,
    expressions.edits,
)
_ORDER: Final = {operator: place for place, operator in enumerate(Operator)}


def mutants_of(files: Mapping[str, bytes]) -> list[Mutant]:
    """Return the mutants of some files: file by file, each in the order of its text.

    Two operators that make the same text of a place make one mutant. Nothing is made in what is compiled for
    tests alone, in attributes, comments, and in what is printed.

    Args:
        files: what each is called, with its text.
    Raises:
        NotRust: one is no Rust that the parser knows.
    """
    return keyed([mutant for name, text in files.items() for mutant in _of_file(Source.of(name, text))])


def _of_file(source: Source) -> Iterator[Mutant]:
    found: dict[tuple[int, int, str], Mutant] = {}
    for node, function in source.places():
        for edits in _OPERATORS:
            for edit in edits(source, node):
                if source.text[edit.start : edit.end] != edit.after.encode():
                    found.setdefault((edit.start, edit.end, edit.after), _mutant(source, edit, function))
    yield from sorted(found.values(), key=lambda one: (one.start, one.end, _ORDER[one.operator], one.after))


def _mutant(source: Source, edit: Edit, function: str) -> Mutant:
    line_start = source.text.rfind(b"\n", 0, edit.start) + 1
    return Mutant(
        key="",
        operator=edit.operator,
        file=source.name,
        start=edit.start,
        end=edit.end,
        line=source.text.count(b"\n", 0, edit.start) + 1,
        column=len(source.text[line_start : edit.start].decode()) + 1,
        function=function,
        before=source.text[edit.start : edit.end].decode(),
        after=edit.after,
    )
