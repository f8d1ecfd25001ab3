"""Judges the edge between the drops of one frame's references (REF-09)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from frame_harness.frame_metadata.orderings.table import DEC_REF
from frame_harness.orderings.demands import Walk
from frame_harness.orderings.events import MemoryAccess, Path
from frame_harness.orderings.litmus import Move
from frame_harness.orderings.outcomes import OLD, PAYLOAD, Trial, first_values, moves_of
from frame_harness.orderings.report import Compiled, OrderingScene, OrderingViolation
from frame_harness.orderings.rules import UNKNOWN, violation_at

BLIND = (
    "the CPU that drops the last reference may reuse the frame while an earlier holder's writes to it "
    "are still to become visible"
)
EARLIER, LAST, OVERTAKEN = "earlier drop", "last drop", "last drop that looked before the earlier one"
WALKS = {
    EARLIER: Walk(DEC_REF, {"refcount": 2}),
    LAST: Walk(DEC_REF, {"refcount": 1}),
    OVERTAKEN: Walk(DEC_REF, {"refcount": 1}, outdated={"refcount": 2}),
}


def violations(compiled: Compiled) -> Iterator[OrderingViolation]:
    """Yield what breaks REF-09, one violation at most; nothing without a `dec_ref` in the compiled code."""
    function = compiled.functions.get(DEC_REF)
    if function is None or DEC_REF in compiled.unwalked:
        return  # REF-08, or the report, says so already, and nothing is known about this clause
    # A way that writes back what it found earlier drops no reference; REF-08 says so.
    overtaken = [way for way in compiled.walks[OVERTAKEN] if any(one.is_update and one.done for one in way)]
    earlier, last = compiled.walks[EARLIER], [*compiled.walks[LAST], *overtaken]
    blind = last_reference_is_blind(earlier, last)
    if blind is False:
        return
    scene = _scene(earlier, last) if blind else None
    ways = last if scene is None else [scene.path]
    drop = scene.weak if scene is not None else next(filter(None, map(_drop_of, ways)), None)
    got = drop.describe() if drop is not None else "no update of refcount"
    expected = "Release on each drop, Acquire on the way on which the previous value was 1"
    if blind and drop is not None:
        alone = all(_acquires_after_drop(path) for path in ways if path.returns)
        got += ": the Acquire after it has no Release to pair with" if alone else ", no Acquire after it"
    consequence = BLIND if blind else UNKNOWN
    yield violation_at("REF-09", function, drop, "refcount", expected, got, consequence, scene)


def _scene(earlier: Sequence[Path], last: Sequence[Path]) -> OrderingScene | None:
    """The first two ways through both drops that are blind for each other."""
    for one, two in _ways(earlier, last):
        trial = _meeting(one, two)
        if trial.shows:
            return OrderingScene(two, _drop_of(two), trial)
    return None


def _drop_of(path: Path) -> MemoryAccess | None:
    """The update that takes the reference away, else one that was refused."""
    updates = [access for access in path if access.is_update]
    return next((access for access in updates if access.done), updates[0] if updates else None)


def _acquires_after_drop(path: Path) -> bool:
    """Whether a way on which the last reference is dropped acquires, by the drop itself or behind it."""
    drops = [index for index, access in enumerate(path.accesses) if access.is_update and access.done]
    return any(
        path.effective(drop).acquires or any(one.order.acquires for one in path.accesses[drop + 1 :])
        for drop in drops
    )


def last_reference_is_blind(earlier: Sequence[Path], last: Sequence[Path]) -> bool | None:
    """Tell whether the CPU that drops the last reference may miss what an earlier holder wrote.

    Args:
        earlier: ways through `dec_ref` from a count of 2.
        last: ways through it from a count of 1.
    Returns:
        None when no way through drops a reference.
    """
    ways = _ways(earlier, last)
    return any(_meeting(one, two).shows for one, two in ways) if ways else None


def _ways(earlier: Sequence[Path], last: Sequence[Path]) -> list[tuple[Path, Path]]:
    return [
        (one, two)
        for one in earlier
        for two in last
        if one.returns and two.returns and _drops(one) and _drops(two)
    ]


def _drops(path: Path) -> bool:
    return any(access.writes and access.touches("refcount") for access in path)


def _meeting(one: Path, two: Path) -> Trial:
    """A holder writes to the frame, then drops it; another one drops the last reference, then looks."""
    earlier = [Move("store", PAYLOAD, value="mine"), *moves_of(one, concrete=True)]
    last = [*moves_of(two, concrete=True), Move("load", PAYLOAD, register="seen")]
    first = first_values([*earlier, *last], refcount=2)
    return Trial((earlier, last), (one, two), first, lambda registers: registers["seen"] == OLD, "seen")
