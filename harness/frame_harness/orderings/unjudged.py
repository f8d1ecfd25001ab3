"""Tells which ordering clauses cannot be judged, because of code that was not understood."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from frame_harness.frame_metadata.orderings.table import (
    ALLOCATE,
    CLAUSE_OF_FIELD,
    DEC_REF,
    FUNCTIONS,
    INIT,
    LOOKUP,
    NEEDS,
    READERS,
)
from frame_harness.orderings.events import Access, Function, Op, Space
from frame_harness.orderings.report import Compiled, OrderingViolation, Unjudged, place_of

ATOMIC: Final = "an atomic access"
"""What is expected of every access to a slot: that one is none is true whatever else the function does."""

_SLOTS: Final = frozenset(CLAUSE_OF_FIELD.values())
_OF_SEVERAL_STEPS: Final = {
    ALLOCATE: ("ALLOC-12", "ALLOC-16"),
    DEC_REF: ("REF-09",),
    INIT: ("ARRAY-12",),
    **dict.fromkeys(READERS, ("ARRAY-12",)),
    LOOKUP: ("ARRAY-12",),
}


def unjudged(compiled: Compiled) -> tuple[Unjudged, ...]:
    """Return what was not understood, once for each clause that depends on it."""
    return tuple(dict.fromkeys(_unjudged(compiled)))


def _unjudged(compiled: Compiled) -> Iterator[Unjudged]:
    for name in FUNCTIONS:
        if name in compiled.unread:
            for clause in sorted(_own(name) | _SLOTS):
                file, line = compiled.places.get(name, (compiled.file, 0))
                yield Unjudged(clause, name, compiled.unread[name], file, line)
        elif name in compiled.functions:
            yield from _opaque(compiled.functions[name])


def _own(function: str) -> set[str]:
    """Return the clauses that say something about a function."""
    needed = {need.clause for need in NEEDS if need.function == function}
    return needed | set(_OF_SEVERAL_STEPS.get(function, ()))


def _opaque(function: Function) -> Iterator[Unjudged]:
    for path in function.paths:
        for access in path:
            # A way that ends in a panic is judged only by how it goes about slots.
            if access.op is Op.OPAQUE and (path.end != "panic" or access.reach):
                file, line = place_of(function, access)
                for clause in sorted(_depending(function, access)):
                    yield Unjudged(clause, function.name, access.item, file, line)


def _depending(function: Function, access: Access) -> set[str]:
    found = _own(function.name)
    if Space.SLOT in access.reach:
        found |= _SLOTS
    if Space.STATIC in access.reach:
        found.add("ARRAY-12")
    return found


def certain(violations: Iterable[OrderingViolation], unknown: Iterable[Unjudged]) -> list[OrderingViolation]:
    """Return the violations that stand whatever the code does that was not understood."""
    unknown = list(unknown)
    doubtful = {(one.clause, one.function) for one in unknown}
    several = {
        one.clause for one in unknown if any(one.clause in clauses for clauses in _OF_SEVERAL_STEPS.values())
    }
    return [
        violation
        for violation in violations
        if violation.expected == ATOMIC
        or ((violation.clause, violation.function) not in doubtful and violation.clause not in several)
    ]
