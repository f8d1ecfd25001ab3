"""Proves how a violation of memory orderings is told as the events of two CPUs."""

from __future__ import annotations

import pytest

from frame_harness.judge.diagrams import INITIAL
from frame_harness.orderings.events import AccessOp, MemoryAccess, MemoryOrder, Path, SourceStep, Space
from frame_harness.orderings.outcomes import Trial, hiding, losing, missing, outdated
from frame_harness.orderings.report import OrderingScene, OrderingViolation
from frame_harness.orderings.traces import trace_of

RLX, ACQ, REL = MemoryOrder.MONOTONIC, MemoryOrder.ACQUIRE, MemoryOrder.RELEASE


def access(
    op: AccessOp, item: str, order: MemoryOrder, line: int, written: int | str | None = None
) -> MemoryAccess:
    trail = (SourceStep("MetaSlot::it", "/k/frame.rs", line),)
    return MemoryAccess(op, Space.SLOT, item, order=order, written=written, trail=trail)


STORE = access(AccessOp.STORE, "flags", RLX, 213, 0x500)
LOAD = access(AccessOp.LOAD, "flags", RLX, 207)
SPLIT = Path((access(AccessOp.LOAD, "refcount", RLX, 292), access(AccessOp.STORE, "refcount", RLX, 293, "n")))
LIFE = Path((access(AccessOp.STORE, "refcount", REL, 1, 1), access(AccessOp.STORE, "guard", REL, 2, 0)))


def violation(scene: OrderingScene | None) -> OrderingViolation:
    return OrderingViolation(
        "REF-08", "MetaSlot::it", "flags", "at least so", "less", "/k/frame.rs", 7, "this", scene
    )


def told(path: Path, weak: MemoryAccess, trial: Trial | None) -> list[str]:
    """The events, one a line: its CPU, words, what it read, from which event, marks."""
    events = trace_of(violation(OrderingScene(path, weak, trial))).events
    return [
        f"{one.cpu} {one.words} [{one.found}|{one.left}] {one.reads_from} "
        f"{'weak ' * one.weak}{'stale' * one.stale}"
        for one in events
    ]


def test_a_write_that_hides_others_is_read_and_they_are_not() -> None:
    path = Path((STORE,))
    assert told(path, STORE, hiding(path, 0)) == [
        "1 store data from before [|new] None ",
        "1 store flags Relaxed [|0x500] None weak ",
        "2 load flags Acquire [0x500|] 1 ",
        f"2 load data from before [old|] {INITIAL} stale",
    ]


def test_a_read_that_does_not_acquire_misses_what_was_released() -> None:
    path = Path((LOAD,))
    assert told(path, LOAD, missing(path, 0)) == [
        "1 store data from before [|new] None ",
        "1 store flags Release [|sent] None ",
        "2 load flags Relaxed [sent|] 1 weak ",
        f"2 load data from before [old|] {INITIAL} stale",
    ]


def test_a_lost_update_starts_twice_from_one_value() -> None:
    first = SPLIT.accesses[0]
    assert told(SPLIT, first, losing(SPLIT, "refcount")) == [
        f"1 load refcount Relaxed [old|] {INITIAL} weak ",
        "1 store refcount Relaxed [|new] None ",
        f"2 load refcount Relaxed [old|] {INITIAL} stale",
        "2 store refcount Relaxed [|new] None ",
    ]


def test_a_life_that_is_published_early_shows_an_old_part() -> None:
    trial = outdated(LIFE, "refcount", 1, "guard", {"refcount": 2**32 - 1})
    assert told(LIFE, LIFE.accesses[0], trial) == [
        "1 store refcount Release [|0x1] None weak ",
        "1 store guard Release [|0x0] None ",
        "2 load refcount Acquire [0x1|] 0 ",
        f"2 load guard [old|] {INITIAL} stale",
    ]


def test_without_a_program_that_shows_it_the_path_is_told() -> None:
    assert told(LIFE, LIFE.accesses[1], None) == [
        "1 store refcount Release [|0x1] None ",
        "1 store guard Release [|0x0] None weak ",
    ]


def test_an_access_without_a_line_of_its_own_has_that_of_the_violation() -> None:
    bare = MemoryAccess(AccessOp.STORE, Space.SLOT, "flags", order=RLX)
    [event] = trace_of(violation(OrderingScene(Path((bare,)), bare))).events
    assert event.at == "/k/frame.rs:7"


def test_what_is_not_there_has_no_events_and_all_words() -> None:
    trace = trace_of(violation(None))
    assert trace.events == ()
    assert (trace.function, trace.expected, trace.got, trace.consequence) == (
        "MetaSlot::it", "at least so", "less", "this",
    )  # fmt: skip


@pytest.mark.parametrize("order", [REL, MemoryOrder.SEQ_CST])
def test_a_write_that_is_strong_enough_has_no_witness(order: MemoryOrder) -> None:
    path = Path((access(AccessOp.STORE, "flags", order, 213, 0x500),))
    assert hiding(path, 0).witness() is None
