"""Makes the mutants of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from frame_harness.mutation import (
    atomics,
    cargo_mutants,
    expressions,
    literals,
    names,
    ranges,
    statements,
    values,
)
from frame_harness.mutation.facts import DeclaredFacts
from frame_harness.mutation.mutants import Mutant, Operator, keyed
from frame_harness.mutation.source import Edit, RustSource

if TYPE_CHECKING:
    from tree_sitter import Node

_OPERATORS: Final[tuple[Callable[[RustSource, Node], Iterator[Edit]], ...]] = (
    atomics.edits,
    statements.edits,
    expressions.edits,
    ranges.edits,
    literals.edits,
)
_INFORMED: Final[tuple[Callable[[DeclaredFacts, RustSource, Node], Iterator[Edit]], ...]] = (
    values.edits,
    names.edits,
)
"""Those that ask what is declared in all of the files."""
_ORDER: Final = {operator: place for place, operator in enumerate(Operator)}


def mutants_of(files: Mapping[str, bytes]) -> list[Mutant]:
    """Return the mutants of some files: file by file, each in the order of its text.

    Two operators that make the same text of a place make one mutant. Nothing is made in what is compiled for
    tests alone, in attributes, comments, and in what is printed. Where cargo-mutants is installed, what it
    makes is among them.

    Args:
        files: what each is called, with its text.
    Raises:
        NotRust: one is no Rust that the parser knows.
    """
    sources = [RustSource.of(name, text) for name, text in files.items()]
    facts, more = DeclaredFacts.of(sources), cargo_mutants.listed(files)
    return keyed([mutant for source in sources for mutant in _of_file(facts, source, more)], files)


def _of_file(facts: DeclaredFacts, source: RustSource, more: str) -> Iterator[Mutant]:
    found: dict[tuple[int, int, str], Mutant] = {}
    places = list(source.places())
    made = [(edit, function) for node, function in places for edit in _edits(facts, source, node)]
    for edit in cargo_mutants.edits(more, source):
        around = [
            path for node, path in places if node.start_byte <= edit.start and edit.end <= node.end_byte
        ]
        made += [(edit, path) for path in around[-1:]]  # the innermost; none in what is not judged
    for edit, function in made:
        if source.text[edit.start : edit.end] != edit.after.encode():
            found.setdefault((edit.start, edit.end, edit.after), _mutant(source, edit, function))
    yield from sorted(found.values(), key=lambda one: (one.start, one.end, _ORDER[one.operator], one.after))


def _edits(facts: DeclaredFacts, source: RustSource, node: Node) -> Iterator[Edit]:
    for edits in _OPERATORS:
        yield from edits(source, node)
    for informed in _INFORMED:
        yield from informed(facts, source, node)


def _mutant(source: RustSource, edit: Edit, function: str) -> Mutant:
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
