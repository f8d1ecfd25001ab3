"""Asks which parts of a new life another CPU may miss."""

from __future__ import annotations

from functools import cache

from frame_harness.frame_metadata.constants import C
from frame_harness.orderings.events import MemoryOrder, Path
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
