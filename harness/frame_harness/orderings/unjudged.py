"""Tells which ordering clauses cannot be judged, because of code that was not understood."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from frame_harness.orderings.demands import OrderingRules
from frame_harness.orderings.events import AccessOp, Function, MemoryAccess, Space
from frame_harness.orderings.report import Compiled, OrderingViolation, UnjudgedCode, place_of

ATOMIC: Final = "an atomic access"
"""What is expected of every access to a slot: that one is none is true whatever else the function does."""


def unjudged(compiled: Compiled, rules: OrderingRules) -> tuple[UnjudgedCode, ...]:
    """Return what was not understood, once for each clause that depends on it."""
    return tuple(dict.fromkeys(_unjudged(compiled, rules)))


def _unjudged(compiled: Compiled, rules: OrderingRules) -> Iterator[UnjudgedCode]:
    for name in rules.functions:
        if name in compiled.unread:
            for clause in sorted(_own(name, rules) | _of_slots(rules)):
                file, line = compiled.places.get(name, (compiled.file, 0))
                yield UnjudgedCode(clause, name, compiled.unread[name], file, line)
        elif name in compiled.functions:
            yield from _opaque(compiled.functions[name], rules)
            if name in compiled.unwalked:
                file, line = compiled.places.get(name, (compiled.file, 0))
                for clause in sorted(rules.in_steps.get(name, ())):
                    yield UnjudgedCode(clause, name, compiled.unwalked[name], file, line)


def looked_at(compiled: Compiled, rules: OrderingRules) -> tuple[str, ...]:
    """Return the clauses that say something about a function that was read."""
    read = [name for name in rules.functions if name in compiled.functions]
    found = {clause for name in read for clause in _own(name, rules)}
    return tuple(clause for clause in rules.clauses if clause in found)


def _of_slots(rules: OrderingRules) -> set[str]:
    return set(rules.clause_of_field.values())


def _own(function: str, rules: OrderingRules) -> set[str]:
    """Return the clauses that say something about a function."""
    needed = {need.clause for need in rules.needs if need.function == function}
    return needed | set(rules.in_steps.get(function, ()))


def _opaque(function: Function, rules: OrderingRules) -> Iterator[UnjudgedCode]:
    for path in function.paths:
        for access in path:
            # A way that ends in a panic is judged only by how it goes about slots.
            if access.op is AccessOp.OPAQUE and (path.end != "panic" or access.reach):
                file, line = place_of(function, access)
                for clause in sorted(_depending(function, access, rules)):
                    yield UnjudgedCode(clause, function.name, access.item, file, line)


def _depending(function: Function, access: MemoryAccess, rules: OrderingRules) -> set[str]:
    found = _own(function.name, rules)
    if Space.SLOT in access.reach:
        found |= _of_slots(rules)
    if Space.STATIC in access.reach:
        found.add(rules.clause_of_statics)
    return found


def certain(
    violations: Iterable[OrderingViolation], unknown: Iterable[UnjudgedCode], rules: OrderingRules
) -> list[OrderingViolation]:
    """Return the violations that stand whatever the code does that was not understood."""
    unknown = list(unknown)
    doubtful = {(one.clause, one.function) for one in unknown}
    in_steps = {clause for clauses in rules.in_steps.values() for clause in clauses}
    several = {one.clause for one in unknown if one.clause in in_steps}
    return [
        violation
        for violation in violations
        if violation.expected == ATOMIC
        or ((violation.clause, violation.function) not in doubtful and violation.clause not in several)
    ]
