"""Tells a violation of memory orderings as the events of two CPUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from frame_harness.judge.diagrams import INITIAL, OrderingEvent, OrderingTrace
from frame_harness.orderings.events import AccessOp, MemoryAccess, MemoryOrder, Path
from frame_harness.orderings.litmus import FIRST, Happening, Move
from frame_harness.orderings.outcomes import BEFORE, Trial, moves_of
from frame_harness.orderings.report import OrderingViolation

_PLACES: Final[Mapping[str, str]] = {BEFORE: "data from before"}
_CPUS: Final = (1, 2)


def trace_of(violation: OrderingViolation) -> OrderingTrace:
    """What shows a violation: an order of events in which a CPU sees what it may not, else the path alone."""
    scene = violation.scene
    events: tuple[OrderingEvent, ...] = ()
    place = f"{violation.file}:{violation.line}"
    if scene is not None:
        steps = None if scene.trial is None else scene.trial.witness()
        if scene.trial is None or steps is None:
            events = tuple(_alone(scene.path, scene.weak, place))
        else:
            events = tuple(_together(scene.trial, steps, scene.weak, place))
    return OrderingTrace(
        function=violation.function, expected=violation.expected, got=violation.got,
        consequence=violation.consequence, events=events,
    )  # fmt: skip


def _alone(path: Path, weak: MemoryAccess | None, place: str) -> Iterator[OrderingEvent]:
    """The accesses of a path, as far as other CPUs could notice them."""
    blamed = _first(path, weak)
    for move in moves_of(path):
        yield _event(_CPUS[0], move, path, blamed, place)


def _together(
    trial: Trial, steps: tuple[Happening, ...], weak: MemoryAccess | None, place: str
) -> Iterator[OrderingEvent]:
    """The steps of two CPUs; each read with the event that it reads from."""
    left = {one.message: at for at, one in enumerate(steps)}
    # Where both CPUs walk the same way, the access to blame is shown once.
    blamed = [_first(path, weak) for path in trial.paths]
    blamed = blamed if blamed[0] is None else [blamed[0], None]
    doubtful = next(
        (move.place for moves in trial.threads for move in moves if move.register == trial.stale), ""
    )
    for one in steps:
        move = trial.threads[one.thread][one.step]
        event = _event(_CPUS[one.thread], move, trial.paths[one.thread], blamed[one.thread], place)
        if one.read is not None:
            source = INITIAL if one.read == FIRST else left[one.read]
            found = _shown(one.value) if source == INITIAL else _left_by(trial, steps[source])
            if source == INITIAL and isinstance(one.value, str) and move.place != doubtful:
                found = ""  # it stands for any value, and nothing depends on it
            event = replace(event, reads_from=source, found=found, stale=move.register == trial.stale)
        yield event


def _first(path: Path | None, access: MemoryAccess | None) -> int | None:
    """Where an access lies on a path."""
    if path is None or access is None or access not in path.accesses:
        return None
    return path.accesses.index(access)


def _event(cpu: int, move: Move, path: Path | None, blamed: int | None, at: str) -> OrderingEvent:
    """A step as an event, without what it reads; `at` is the place of the one to blame, if it has none."""
    place = _PLACES.get(move.place, move.place)
    if path is None or move.source is None:
        order = "" if move.order is MemoryOrder.MONOTONIC else f" {move.order.shown}"
        return OrderingEvent(
            cpu=cpu, words=f"{move.op} {place}{order}", place=place, left=_shown(move.value), given=True
        )
    access = path.accesses[move.source]
    weak = move.source == blamed
    refused = "" if access.op is AccessOp.FENCE or access.done else " (refused)"
    return OrderingEvent(
        cpu=cpu, words=f"{access.describe()}{refused}", place=place,
        at=_place(access) or (at if weak else ""),
        left=_left(move, access), weak=weak,
    )  # fmt: skip


def _left_by(trial: Trial, writer: Happening) -> str:
    move, path = trial.threads[writer.thread][writer.step], trial.paths[writer.thread]
    return _left(move, None if path is None or move.source is None else path.accesses[move.source])


def _left(move: Move, access: MemoryAccess | None) -> str:
    if access is not None and access.writes and isinstance(access.written, int):
        return f"{access.written:#x}"
    return _shown(move.value)


def _shown(value: int | str | None) -> str:
    """A value of a program: those that stand for any other are called new."""
    if isinstance(value, int):
        return f"{value:#x}"
    return "new" if value is not None and value.startswith("new") else value or ""


def _place(access: MemoryAccess) -> str:
    return f"{access.trail[0].file}:{access.trail[0].line}" if access.trail else ""
