"""Asks what another CPU could see, given the accesses of a compiled path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from frame_harness.orderings.events import AccessOp, MemoryAccess, MemoryOrder, Path, Space
from frame_harness.orderings.litmus import Happening, Litmus, Move

PAYLOAD = "payload"
OLD = "old"
BEFORE = "before"
"""The place of what was written before, whatever that is."""


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
    if access.op is AccessOp.FENCE:
        return Move("fence", order=access.order, drains=access.drains, source=index)
    if access.op in (AccessOp.CALL, AccessOp.OPAQUE):
        return None
    place = place_of(access)
    expect = access.read if concrete and isinstance(access.read, int) else None
    if not access.writes:
        order = access.order if access.done or access.failure is None else access.failure
        register = f"r{index}"
        return Move("load", place, order, expect, None, register, drains=access.drains, source=index)
    value = token(access, index)
    if access.is_update:
        register = f"r{index}"
        return Move("update", place, access.order, expect, value, register, drains=True, source=index)
    late = access.nontemporal
    return Move("store", place, access.order, None, value, late=late, drains=access.drains, source=index)


def place_of(access: MemoryAccess) -> str:
    """Return the name under which a program knows what an access touches."""
    return PAYLOAD if access.space is Space.MEMORY else access.item


def token(access: MemoryAccess, index: int) -> int | str:
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


@dataclass(frozen=True, eq=False)
class Trial:
    """A small program of two CPUs, and what would be wrong at its end."""

    threads: tuple[Sequence[Move], Sequence[Move]]
    paths: tuple[Path | None, Path | None]
    """Where the steps of each CPU come from; None for a CPU of which is only assumed what it does."""
    first: dict[str, int | str]
    wrong: Callable[[dict[str, int | str]], bool]
    """Asked about the registers."""
    stale: str
    """The register of the read that returns what it may not."""

    @property
    def shows(self) -> bool:
        """Whether some execution ends as it must not."""
        return Litmus(self.threads, self.first).reaches(self.wrong)

    def witness(self) -> tuple[Happening, ...] | None:
        """How it comes to that; None where it cannot."""
        return Litmus(self.threads, self.first).witness(self.wrong)


def _is_old(registers: dict[str, int | str]) -> bool:
    return registers["seen"] == OLD


def hides_writes(path: Path, index: int) -> bool:
    """Tell whether a CPU that acquires what this write left may miss what was written before it."""
    return path.overtaken(index) is not None or hiding(path, index).shows


def hiding(path: Path, index: int) -> Trial:
    """The program that `hides_writes` asks: whether what came before the write is seen behind it."""
    access, late = path.accesses[index], path.overtaken(index)
    before = BEFORE if late is None else place_of(late)
    assumed = [Move("store", BEFORE, value="new")] if late is None else []
    writer = [*assumed, *moves_of(path, range(index + 1))]
    reader = [
        Move("load", place_of(access), MemoryOrder.ACQUIRE, expect=token(access, index)),
        Move("load", before, register="seen"),
    ]
    return Trial((writer, reader), (path, None), first_values([*writer, *reader]), _is_old, "seen")


def misses_writes(path: Path, index: int) -> bool:
    """Tell whether this read may return what another CPU released, yet not show that CPU's earlier writes."""
    return missing(path, index).shows


def missing(path: Path, index: int) -> Trial:
    """The program that `misses_writes` asks."""
    place = place_of(path.accesses[index])
    writer = [Move("store", BEFORE, value="new"), Move("store", place, MemoryOrder.RELEASE, value="sent")]
    own = moves_of(path, range(index, len(path.accesses)))
    first_move = replace(own[0], expect="sent", register="read", late=False, drains=False)
    # What follows on the path counts only as far as it orders: its own reads and writes are not asked.
    fences = (
        [move for move in own[1:] if move.op == "fence"][:1] if len(own) > 1 and own[1].op == "fence" else []
    )
    reader = [first_move, *fences, Move("load", BEFORE, register="seen")]
    return Trial((writer, reader), (None, path), first_values([*writer, *reader]), _is_old, "seen")


def loses_updates(path: Path, field: str) -> bool:
    """Tell whether two CPUs that walk this path at once may both start from the same value of a field."""
    trial = losing(path, field)
    return trial is not None and trial.shows


def losing(path: Path, field: str) -> Trial | None:
    """The program that `loses_updates` asks; None for a path that does not read, then write the field."""
    touching = [index for index, access in enumerate(path.accesses) if access.touches(field)]
    moves = moves_of(path, touching)
    read = next((move.register for move in moves if move.op in ("load", "update")), "")
    if not read or not any(move.value is not None for move in moves):
        return None
    other = [
        replace(
            m,
            expect=None,
            value=None if m.value is None else f"{m.value}'",
            register=m.register and "other",
            late=False,
            drains=False,
        )
        for m in moves
    ]

    def same(registers: dict[str, int | str]) -> bool:
        return registers.get(read) == registers.get("other") == OLD

    return Trial((moves, other), (path, path), first_values(moves), same, "other")


def outdated(path: Path, place: str, value: int | str, part: str, first: dict[str, int | str]) -> Trial:
    """Whether a CPU that acquires a value in a place may find in a part what the path did not leave."""
    writer = moves_of(path)
    final = last_written(writer)[part]
    reader = [
        Move("load", place, MemoryOrder.ACQUIRE, expect=value),
        Move("load", part, register="seen"),
    ]
    values = first_values([*writer, *reader]) | first

    def differs(registers: dict[str, int | str]) -> bool:
        return registers["seen"] != final

    return Trial((writer, reader), (path, None), values, differs, "seen")
