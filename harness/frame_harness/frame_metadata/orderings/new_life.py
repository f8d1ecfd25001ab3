"""Asks which parts of a new life another CPU may miss, also behind the bump of a generation (GEN-04)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.orderings.table import NEW_EPOCH
from frame_harness.orderings.events import Function, MemoryOrder, Path
from frame_harness.orderings.litmus import Litmus, Move
from frame_harness.orderings.outcomes import (
    OLD,
    PAYLOAD,
    Trial,
    first_values,
    last_written,
    moves_of,
    outdated,
)
from frame_harness.orderings.report import Compiled, OrderingScene, OrderingViolation
from frame_harness.orderings.rules import violation_at

# What a life consists of, in the order in which messages name it.
LIFE = ("flags", "order", PAYLOAD, "generation", "guard", "vtable")


def stale_parts(path: Path, place: str, value: int | str | None = None) -> list[str] | None:
    """Return which parts of a new life may look old to a CPU that acquires `value` in `place`.

    Args:
        path: the accesses that make the life.
        value: the one that tells of the new life; the last one written when None.
    Returns:
        the names of stale parts; None when nobody can ever see that value.
    """
    writer = moves_of(path)
    value = last_written(writer).get(place) if value is None else value
    return None if value is None else _stale_parts(tuple(writer), place, value)


def missing_part(path: Path, place: str, value: int | str | None, part: str) -> Trial | None:
    """The program that shows that a part may look old, where `stale_parts` names it."""
    writer = moves_of(path)
    value = last_written(writer).get(place) if value is None else value
    first = {name: OLD for name in (*LIFE, place)} | {"refcount": C.refcount_unused}
    return None if value is None else outdated(path, place, value, part, first)


@cache
def _stale_parts(writer: tuple[Move, ...], place: str, value: int | str) -> list[str] | None:
    final = last_written(writer)
    first = {name: OLD for name in (*LIFE, place)} | first_values(writer) | {"refcount": C.refcount_unused}
    reader = Move("load", place, MemoryOrder.ACQUIRE, expect=value)
    if not Litmus([writer, [reader]], first).outcomes():
        return None
    stale = []
    for part in LIFE:
        if part in final and part != place:
            looks = [reader, Move("load", part, register="seen")]
            if any(
                dict(outcome)["seen"] != final[part] for outcome in Litmus([writer, looks], first).outcomes()
            ):
                stale.append(part)
    return stale


RESET = ("vtable", "guard")
"""The fields that a new epoch resets (GUARD-05)."""


def violations(compiled: Compiled) -> Iterator[OrderingViolation]:
    """Yield each field that the method resets behind its bump, whose Release publishes what came before."""
    function = compiled.functions.get(NEW_EPOCH)
    if function is not None:
        for path in function.paths:
            if path.returns:
                yield from _published_early(function, path)


def _published_early(function: Function, path: Path) -> Iterator[OrderingViolation]:
    bump = next((at for at, one in enumerate(path) if one.writes and one.touches("generation")), None)
    if bump is None:
        return  # GEN-04 asks for one by itself
    for access in path.accesses[bump + 1 :]:
        for field in RESET:
            if access.writes and access.touches(field):
                consequence = f"a CPU that reads the new generation may still see the old {field}"
                yield violation_at(
                    "GEN-04", function, access, field, f"{field} reset before the bump of generation",
                    f"{field} after the bump", consequence,
                    OrderingScene(path, access, missing_part(path, "generation", None, field)),
                )  # fmt: skip
