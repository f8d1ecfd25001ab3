"""Asks what another CPU could see, given the accesses of a compiled path."""

from __future__ import annotations

from collections.abc import Iterable

from frame_harness.orderings.events import Access, MemoryOrder, Op, Path, Space
from frame_harness.orderings.litmus import Litmus, Move

PAYLOAD = "payload"
OLD = "old"


def moves_of(path: Path, indices: Iterable[int] | None = None, *, concrete: bool = False) -> list[Move]:
    """Return the steps of a path that other CPUs can notice.

    Args:
        indices: of the accesses to take; all when not given.
        concrete: hold each read to the number that the path found.
    """
    moves: list[Move] = []
    for index in range(len(path.accesses)) if indices is None else indices:
        move = _move(path, index, concrete=concrete)
        if move is not None and not (moves and _says_the_same(moves[-1], move)):
            moves.append(move)
    return moves


def _says_the_same(one: Move, next_one: Move) -> bool:
    return one.place == next_one.place == PAYLOAD and one.late == next_one.late


def _move(path: Path, index: int, *, concrete: bool) -> Move | None:
    access = path.accesses[index]
    if access.op is Op.FENCE:
        return Move("fence", order=access.order, drains=access.drains)
    if access.op in (Op.CALL, Op.OPAQUE):
        return None
    place = place_of(access)
    expect = access.read if concrete and isinstance(access.read, int) else None
    if not access.writes:
        order = access.order if access.done or access.failure is None else access.failure
        return Move("load", place, order, expect=expect, register=f"r{index}", drains=access.drains)
    value = token(access, index)
    if access.is_update:
        register = f"r{index}"
        return Move("update", place, access.order, expect=expect, value=value, register=register, drains=True)
    return Move("store", place, access.order, value=value, late=access.nontemporal, drains=access.drains)


def place_of(access: Access) -> str:
    """Return the name under which a program knows what an access touches."""
    return PAYLOAD if access.space is Space.MEMORY else access.item


def token(access: Access, index: int) -> int | str:
    """Return the value that a write leaves: a count as it is, else one that no other write leaves."""
    if access.item == "refcount" and isinstance(access.written, int):
        return access.written
    return f"new{index}"


def last_written(moves: Iterable[Move]) -> dict[str, int | str]:
    """Return what each place holds in the end."""
    return {move.place: move.value for move in moves if move.value is not None}


def first_values(moves: Iterable[Move], **given: int | str) -> dict[str, int | str]:
    """Return first values for every place that some step touches."""
    return {move.place: OLD for move in moves if move.place} | given


def hides_writes(path: Path, index: int) -> bool:
    """Tell whether a CPU that acquires what this write left may miss what was written before it."""
    if path.overtaken(index) is not None:
        return True
    access = path.accesses[index]
    value = token(access, index)
    writer = [Move("store", "before", value="new"), *moves_of(path, range(index + 1))]
    reader = [
        Move("load", place_of(access), MemoryOrder.ACQUIRE, expect=value),
        Move("load", "before", register="seen"),
    ]
    litmus = Litmus([writer, reader], first_values([*writer, *reader]))
    return litmus.reaches(lambda registers: registers["seen"] == OLD)


def misses_writes(path: Path, index: int) -> bool:
    """Tell whether this read may return what another CPU released, yet not show that CPU's earlier writes."""
    place = place_of(path.accesses[index])
    writer = [Move("store", "before", value="new"), Move("store", place, MemoryOrder.RELEASE, value="sent")]
    own = moves_of(path, range(index, len(path.accesses)))
    first_move = Move(own[0].op, place, own[0].order, expect="sent", value=own[0].value, register="read")
    # What follows on the path counts only as far as it orders: its own reads and writes are not asked.
    fences = (
        [move for move in own[1:] if move.op == "fence"][:1] if len(own) > 1 and own[1].op == "fence" else []
    )
    reader = [first_move, *fences, Move("load", "before", register="seen")]
    litmus = Litmus([writer, reader], first_values([*writer, *reader]))
    return litmus.reaches(lambda registers: registers["seen"] == OLD)


def loses_updates(path: Path, field: str) -> bool:
    """Tell whether two CPUs that walk this path at once may both start from the same value of a field."""
    touching = [index for index, access in enumerate(path.accesses) if access.touches(field)]
    moves = moves_of(path, touching)
    read = next((move.register for move in moves if move.op in ("load", "update")), "")
    if not read or not any(move.value is not None for move in moves):
        return False
    other = [
        Move(m.op, m.place, m.order, value=f"{m.value}'", register=m.register and "other") for m in moves
    ]
    litmus = Litmus([moves, other], first_values(moves))
    return litmus.reaches(lambda registers: registers.get(read) == registers.get("other") == OLD)
