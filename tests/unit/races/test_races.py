"""Proves which operations are interleaved where, and what counts as an order of the two."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from frame_harness.base.units import Paddr, Vaddr
from frame_harness.concurrency.recording import Recording
from frame_harness.frame_races.operations import methods, operations
from frame_harness.frame_races.scenes import IN_USE
from frame_harness.guest.errors import GuestTimeout
from frame_harness.judge.diagrams import Hold, Interleaving, SlotAccess
from frame_harness.races.accesses import Access, Trace
from frame_harness.races.explorer import Explorer, Play, Race
from frame_harness.races.outcome import RaceResult, answer_parts
from frame_harness.races.stage import Stage

LOAD, STORE = (True, False), (False, True)


def access(offset: int, kind: tuple[bool, bool], number: int = 0, *, width: int = 4) -> Access:
    reads, writes = kind
    return Access(offset, width, reads, writes, number)


def test_accesses_clash_when_they_share_a_byte_and_one_of_them_stores() -> None:
    vtable = access(16, LOAD, width=8)
    assert vtable.clashes_with(access(20, STORE))
    assert not vtable.clashes_with(access(20, LOAD))
    assert not vtable.clashes_with(access(24, STORE))
    assert not vtable.clashes_with(access(12, STORE))


def test_an_operation_is_held_ahead_of_its_second_access_that_clashes() -> None:
    twice = Trace((), (access(16, LOAD, 0), access(40, LOAD, 1), access(16, LOAD, 2)))
    assert [one.instruction for one in twice.clashing([access(16, STORE)])] == [0, 2]
    assert [one.instruction for one in twice.clashing([access(40, STORE)])] == [1]
    assert twice.clashing([access(16, LOAD)]) == ()


def test_an_outcome_is_legal_when_one_order_has_all_of_it() -> None:
    orders = RaceResult({"flags": "1", "guard": "1"}), RaceResult({"flags": "2", "guard": "2"})
    assert orders[0].differences(orders, each_part=False) == []
    mixed = RaceResult({"flags": "1", "guard": "2"})
    assert mixed.differences(orders, each_part=True) == []
    assert mixed.differences(orders, each_part=False) == ["flags", "guard"]
    alien = RaceResult({"flags": "1", "guard": "3"})
    assert alien.differences(orders, each_part=True) == ["guard"]
    assert alien.masked("guard", 1) == RaceResult({"flags": "1", "guard": "0x1"})


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ("ok", {"answer 1": "ok"}),
        ("ok v=0x5 some=1", {"answer 1": "ok", "answer 1: v": "0x5", "answer 1: some": "1"}),
        ("fail Err v=0x7", {"answer 1": "fail Err", "answer 1: v": "0x7"}),
        ("panic frame.rs:1 in other words", {"answer 1": "panic"}),
        ("fault #PF rip=0x0", {"answer 1": "fault #PF rip=0x0"}),
    ],
)
def test_an_answer_is_compared_in_parts(answer: str, parts: dict[str, str]) -> None:
    assert answer_parts(1, answer) == parts


def race_at(stage: object) -> tuple[Explorer, Race]:
    """A race of one operation with itself, on a stage that is none."""
    operation = operations(next(methods(["slot.inc_ref <paddr> - MetaSlot::inc_ref"])), {"frame": 0})[0]
    at = access(32, STORE, 1)
    trace = Trace((Vaddr(0), Vaddr(4)), (access(32, LOAD), at))
    play = Play(IN_USE, operation, trace, at, "refcount", operation)
    hold = Hold(cpu=1, instructions=1, at="frame.rs:294", field="refcount")
    diagram = Interleaving(
        operations=("a", "b"), hold=hold, part="refcount", orders=("0x7", "0x7"), got="0x6", state="in use"
    )
    return Explorer(cast("Stage", stage)), Race(play, diagram, Paddr(0))


AHEAD = SlotAccess(cpu=1, field="refcount", reads=True, writes=False)


@pytest.mark.parametrize(("left", "alone"), [("0x6", False), ("0x7", True)])
def test_a_second_play_counts_where_it_ends_like_the_first(left: str, alone: bool) -> None:
    recording = Recording((AHEAD, AHEAD), 1, 1)
    stage = SimpleNamespace(
        recorded=lambda *_: (recording, RaceResult({"refcount": left})), alone=lambda *_: (AHEAD,)
    )
    explorer, race = race_at(stage)
    found = explorer.recorded(race)
    assert (found.diagram.alone, len(found.diagram.accesses)) == (alone, 1 if alone else 2)
    assert not found.fatal


def test_a_guest_that_a_second_play_breaks_is_used_no_more() -> None:
    def recorded(*_: object) -> None:
        raise GuestTimeout("guest", detail="it does not come to its end")

    explorer, race = race_at(SimpleNamespace(recorded=recorded, alone=lambda *_: (AHEAD,)))
    found = explorer.recorded(race)
    assert found.fatal
    assert (found.diagram.what, found.diagram.accesses) == (race.diagram.what, (AHEAD,))
