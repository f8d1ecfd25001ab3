"""Judges the publication of the slot table (ARRAY-12)."""

from __future__ import annotations

from collections.abc import Iterator

from frame_harness.frame_metadata.orderings.table import INIT, LOOKUP
from frame_harness.orderings.events import Function, MemoryAccess, MemoryOrder, Path, Space
from frame_harness.orderings.litmus import Move
from frame_harness.orderings.outcomes import (
    OLD,
    PAYLOAD,
    Trial,
    first_values,
    hides_writes,
    hiding,
    misses_writes,
    missing,
    moves_of,
    outdated,
    token,
)
from frame_harness.orderings.report import Compiled, OrderingScene, OrderingViolation, place_of

CLAUSE = "ARRAY-12"
STALE_COUNT = (
    "a CPU that sees the table may still see the count from before: a frame that has a slot is refused"
)
RAW_SLOTS = (
    "a CPU that sees the table may still see the garbage that lay there before the slots were initialized"
)
UNORDERED = (
    "a CPU that reads the new value may still see the table as it was before: an old count, or slots that "
    "are not initialized yet"
)


def violations(compiled: Compiled) -> Iterator[OrderingViolation]:
    """Yield what breaks ARRAY-12.

    Which static is the base is read from the code: the one whose value leads to the slot that `get_meta_slot`
    returns. Every other static that this function looks at is a count.
    """
    looking_up = "get_meta" if LOOKUP in compiled.lacks else LOOKUP
    lookup, init = compiled.functions.get(looking_up), compiled.functions.get(INIT)
    if lookup is None or init is None:
        name = looking_up if lookup is None else INIT
        if name in compiled.unread:
            return
        got = "no such function in the compiled code"
        yield OrderingViolation(CLAUSE, name, "", "the function", got, compiled.file, 0, UNORDERED)
        return
    loads = [access for path in lookup.paths if path.returns for access in path if _is_static_load(access)]
    bases = {access.item for access in loads if access.returned}
    counts = {access.item for access in loads} - bases
    if not bases or not counts:
        expected = "a load of the table's base that the result is made of, then one of the count"
        got = ", ".join(dict.fromkeys(access.describe() for access in loads)) or "none"
        yield _violation(lookup, None, "", expected, got, UNORDERED)
        return
    for function in compiled.functions.values():
        yield from _weak(function, bases | counts)
    yield from _looked_up_backwards(lookup, bases, counts)
    yield from _published_backwards(init, bases, counts)


def _is_static_load(access: MemoryAccess) -> bool:
    return access.space is Space.STATIC and access.reads


def _violation(
    function: Function,
    access: MemoryAccess | None,
    field: str,
    expected: str,
    got: str,
    consequence: str,
    scene: OrderingScene | None = None,
) -> OrderingViolation:
    file, line = place_of(function, access)
    name = access.trail[0].function if access is not None and access.trail else function.name
    return OrderingViolation(CLAUSE, name, field, expected, got, file, line, consequence, scene)


def _weak(function: Function, statics: set[str]) -> Iterator[OrderingViolation]:
    for path in function.paths:
        for index, access in enumerate(path.accesses):
            if access.space is not Space.STATIC or access.item not in statics:
                continue
            effective = path.effective(index)
            if access.reads and not effective.acquires:
                trial = missing(path, index) if misses_writes(path, index) else None
                yield _too_weak(function, path, index, MemoryOrder.ACQUIRE, trial)
            if access.writes and not effective.releases:
                trial = hiding(path, index) if hides_writes(path, index) else None
                yield _too_weak(function, path, index, MemoryOrder.RELEASE, trial)


def _too_weak(
    function: Function, path: Path, index: int, order: MemoryOrder, trial: Trial | None
) -> OrderingViolation:
    access = path.accesses[index]
    consequence = (
        UNORDERED if trial else "nothing that two CPUs can show here; the contract asks for it by name"
    )
    return _violation(
        function, access, access.item, f"at least {order.shown}", path.describe(index), consequence,
        OrderingScene(path, access, trial),
    )  # fmt: skip


def _looked_up_backwards(lookup: Function, bases: set[str], counts: set[str]) -> Iterator[OrderingViolation]:
    for path in lookup.paths:
        if not path.returns:
            continue
        base = _first(path, bases)
        count = _first(path, counts)
        if base is not None and (count is None or count < base):
            got = "the count first" if count is not None else "no look at the count"
            access = path.accesses[base]
            trial = None if count is None else _reading_backwards(path, count, base)
            yield _violation(
                lookup, access, access.item, "the base is acquired before the count", got, STALE_COUNT,
                OrderingScene(path, access, trial),
            )  # fmt: skip


def _reading_backwards(path: Path, count: int, base: int) -> Trial:
    """A CPU publishes count and base; another one reads the count ahead of the base."""
    reader = moves_of(path, range(count, base + 1))
    places = path.accesses[count].item, path.accesses[base].item
    writer = [Move("store", place, MemoryOrder.RELEASE, value="new") for place in places]

    def wrong(registers: dict[str, int | str]) -> bool:
        return registers[f"r{count}"] == OLD and registers[f"r{base}"] == "new"

    first = first_values([*writer, *reader])
    return Trial((writer, reader), (None, path), first, wrong, f"r{count}")


def _first(path: Path, items: set[str]) -> int | None:
    return next((at for at, access in enumerate(path.accesses) if _of(access, items)), None)


def _of(access: MemoryAccess, items: set[str]) -> bool:
    return access.space is Space.STATIC and access.item in items


def _published_backwards(init: Function, bases: set[str], counts: set[str]) -> Iterator[OrderingViolation]:
    publishes = False
    for path in init.paths:
        for index, access in enumerate(path.accesses):
            # A base of zero withdraws the table; nobody follows it.
            if not _of(access, bases) or not access.writes or access.written == 0:
                continue
            publishes = True
            before, after = path.accesses[:index], path.accesses[index + 1 :]
            if not any(
                _of(earlier, counts) and earlier.writes and earlier.written != 0 for earlier in before
            ):
                expected = "the count is stored before the base"
                late = next((one.item for one in after if _of(one, counts) and one.writes), None)
                trial = late and outdated(path, access.item, token(access, index), late, {})
                scene = OrderingScene(path, access, trial or None)
                yield _violation(init, access, access.item, expected, "the base first", STALE_COUNT, scene)
            if any(later.space is Space.MEMORY and later.writes for later in after):
                expected = "the slots are initialized before the base is stored"
                trial = outdated(path, access.item, token(access, index), PAYLOAD, {})
                scene = OrderingScene(path, access, trial)
                yield _violation(init, access, access.item, expected, "the base first", RAW_SLOTS, scene)
    if not publishes:
        yield _violation(init, None, "", "a store of the base", "none", UNORDERED)
