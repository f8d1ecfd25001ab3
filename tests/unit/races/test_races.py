"""Proves which operations are interleaved where, and what counts as an order of the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr, Vaddr
from frame_harness.concurrency.recording import Recording
from frame_harness.concurrency.two_cpus import FIRST, SECOND
from frame_harness.guest.errors import GuestTimeout, NotInThisVersion
from frame_harness.judge.diagrams import Hold, Interleaving, SlotAccess
from frame_harness.races.accesses import Access, Trace
from frame_harness.races.explorer import END, Explorer, Play, Race
from frame_harness.races.operations import Calls, Operation, methods
from frame_harness.races.outcome import RaceResult
from frame_harness.races.rules import RaceRules
from frame_harness.races.scenes import Scene
from frame_harness.races.stage import Stage
from tests.tiny_contract.contract import KERNEL, TINY

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


# ---- the same engine with the tiny contract ---------------------------------------------------------------

IN_USE = Scene("in use", {}, {"owner": KERNEL, "turns": 3})
NOBODYS = Scene("nobody's", {"owner": 0}, {"owner": 0, "turns": 3})
OFFERED = Scene("free", None)
TABLE = (
    "help - lists the commands",
    "slot.take <paddr> <owner> - TinySlot::take",
    "slot.put <paddr> - TinySlot::put",
    "slot.turns <paddr> - TinySlot::turns",
)
CLAUSES = {("slot.take", "owner"): "TINY-03", ("slot.put", "owner"): "TINY-04"}
RULES = RaceRules(
    calls=Calls(
        left_out={"help": "serves the console"},
        arguments={},
        values={"paddr": ("{frame:#x}",), "owner": (0x1234,)},
        any_value=(0x5A,),
        function_of=lambda method: f"TinySlot::{method.name.partition('.')[2]}",
    ),
    take=lambda _: pytest.fail("there is no guest"),
    in_use=IN_USE,
    offered=OFFERED,
    variants=(NOBODYS,),
    clause_of=lambda method, field: CLAUSES.get((method, field), "TINY-06"),
    clause_of_life=lambda _line, _part: "TINY-03",
    clauses_of_life=("TINY-03",),
    clauses=("TINY-03", "TINY-04", "TINY-06"),
    allocates="none",
    on_a_free_frame={"slot.put": "it changes nothing there"},
)
# A `take` that looks at the owner, stores one, then counts; a slot has its owner at 0 and its turns at 8.
TRACES: Mapping[str, tuple[Access, ...]] = {
    "slot.take": (
        access(0, LOAD, 0, width=8), access(0, STORE, 1, width=8), access(8, (True, True), 2),
    ),
    "slot.put": (access(0, LOAD, 0, width=8), access(0, STORE, 1, width=8)),
    "slot.turns": (access(8, LOAD, 0),),
}  # fmt: skip


class SlotAndStatic:
    """A slot of the tiny contract, and behind it a static of 8 bytes."""

    def field_at(self, offset: int) -> str:
        return TINY.slot.field_at(offset) if self.is_of_slot(offset) else "LAST"

    def is_of_slot(self, offset: int) -> bool:
        return offset < TINY.slot.size


class TinyStage:
    """Stands in for a guest in which nothing runs: traces and outcomes are those of a test."""

    def __init__(
        self,
        lacks: tuple[str, ...] = (),
        traces: Mapping[str, tuple[Access, ...]] = TRACES,
        **outcomes: object,
    ) -> None:
        self._traces = traces
        self.table, self.known, self.frame = TABLE, {"frame": 0x7000}, Paddr(0x7000)
        self.other, self.watched, self.failed = Paddr(0x9000), SlotAndStatic(), FIRST
        subject = SimpleNamespace(contract=TINY)
        self.kernel = SimpleNamespace(image=SimpleNamespace(lacks=lacks, subject=subject))
        self._outcomes, self.asked = outcomes, list[object]()

    def trace(self, line: str, _scene: Scene) -> tuple[Trace | None, str]:
        accesses = self._traces[line.split(maxsplit=1)[0]]
        return Trace(tuple(Vaddr(4 * number) for number in range(3)), accesses), "ok"

    def interleaved(self, *_: object) -> RaceResult:
        got = self._outcomes["got"]
        if isinstance(got, Exception):
            raise got
        return cast("RaceResult", got)

    def in_order(self, first: str, second: str, scene: Scene, *, swapped: bool) -> RaceResult:
        self.asked.append((first, second, scene, swapped))
        return cast("RaceResult", self._outcomes["swapped" if swapped else "first"])

    def place(self, _trace: Trace, at: Access) -> str:
        return f"slot.rs:{at.instruction}"


def explored(stage: object, rules: RaceRules = RULES) -> Explorer:
    return Explorer.of(cast("Stage", stage), rules)


def test_plays_are_derived_from_what_each_operation_touches() -> None:
    explorer = explored(TinyStage())
    found = {
        (one.clause, one.scene.name, one.held.shown, one.meanwhile.shown, one.field, one.at.instruction)
        for clause in RULES.clauses
        for one in explorer.plays(clause)
    }
    take, put = "TinySlot::take(0x1234)", "TinySlot::put()"
    of_frames_in_use = {
        ("TINY-03", take, take, "owner", 1), ("TINY-06", take, take, "turns", 2),
        ("TINY-03", take, put, "owner", 1), ("TINY-04", put, take, "owner", 1),
        ("TINY-04", put, put, "owner", 1),
    }  # fmt: skip
    assert found == {
        *((clause, scene, *rest) for clause, *rest in of_frames_in_use for scene in ("in use", "nobody's")),
        ("TINY-04", "free", put, put, "owner", 1),
    }
    assert explorer.clauses() == set(RULES.clauses)
    assert explorer.absent == {}


def test_a_command_that_never_enters_the_subject_is_not_left_out_unseen() -> None:
    class Refusing(TinyStage):
        def trace(self, line: str, scene: Scene) -> tuple[Trace | None, str]:
            return (None, "err no such frame") if line.startswith("slot.put") else super().trace(line, scene)

    with pytest.raises(HarnessError, match=r"slot\.put.*expected a call of the subject.*no such frame"):
        explored(Refusing())


def test_a_frame_that_is_handed_out_is_raced_for_by_those_who_may_write_to_it() -> None:
    explorer = explored(TinyStage(), replace(RULES, allocates="slot.take"))
    met = {
        (one.scene.name, one.held.method.name, one.meanwhile.method.name)
        for clause in RULES.clauses
        for one in explorer.plays(clause)
    }
    assert ("free", "slot.take", "slot.put") in met and ("free", "slot.put", "slot.put") in met
    assert ("free", "slot.take", "slot.take") not in met, "two allocations get two frames"
    assert not any("slot.take" in pair and scene != "free" for scene, *pair in met)


BEHIND = TINY.slot.size
THROUGH_A_STATIC = {
    **TRACES,
    "slot.turns": (
        access(8, LOAD, 0), access(BEHIND, STORE, 1, width=8), access(BEHIND, LOAD, 2, width=8),
    ),
}  # fmt: skip


def test_two_that_touch_one_static_are_interleaved_on_two_frames() -> None:
    explorer = explored(TinyStage(traces=THROUGH_A_STATIC))
    apart = [one for clause in RULES.clauses for one in explorer.plays(clause) if one.apart]
    assert [(one.held.line, one.meanwhile.line, one.field, one.at.instruction) for one in apart] == [
        ("slot.turns 0x7000", "slot.turns 0x9000", "LAST", 2)
    ]
    assert apart[0].operations == ("TinySlot::turns()", "TinySlot::turns() on another frame")
    assert apart[0].clause == "TINY-06", "as for a field that it reads"
    assert not any(one.apart for clause in RULES.clauses for one in explored(TinyStage()).plays(clause))


def test_one_that_counts_its_calls_in_a_static_is_still_tried_on_a_free_frame() -> None:
    counted = {**TRACES, "slot.turns": (access(BEHIND, (True, True), 0, width=8), access(8, LOAD, 1))}
    explorer = explored(TinyStage(traces=counted))
    assert {scene.name for scene, one in explorer.traces if one.method.name == "slot.turns"} >= {"free"}
    assert not any(one.apart for clause in RULES.clauses for one in explorer.plays(clause))


LIFE = {"owner": "TINY-03", "payload": "TINY-04", "": "TINY-06"}
ALLOCATING = replace(
    RULES,
    calls=replace(RULES.calls, arguments={"slot.take": ("one",)}, apart={"slot.take": ("two",)}),
    allocates="slot.take",
    clause_of_life=lambda _line, part: LIFE[part],
    clauses_of_life=tuple(LIFE.values()),
    left_behind={("slot.take", "owner"): (0, "a reason")},
    in_steps={"slot.take": "it says so"},
)
ALLOCATES_THROUGH_A_STATIC = {
    **TRACES,
    "slot.take": (access(BEHIND, STORE, 0, width=8), access(BEHIND, LOAD, 1, width=8), access(0, STORE, 2)),
}


def test_two_allocations_meet_though_they_are_given_two_frames_and_one_order_has_all_parts() -> None:
    order, swapped = (
        RaceResult({"answer 1: paddr": paddr, "owner": owner, "payload": "0x0"})
        for paddr, owner in (("0x7000", "0x1"), ("0x8000", "0x2"))
    )
    mixed = RaceResult({**order.parts, "owner": "0x2"})
    explorer = explored(
        TinyStage(traces=ALLOCATES_THROUGH_A_STATIC, got=mixed, first=order, swapped=swapped), ALLOCATING
    )
    pairs = {
        clause: [one for one in explorer.plays(clause) if one.apart and one.held.line == "slot.take one"]
        for clause in LIFE.values()
    }
    assert {one.meanwhile.line for plays in pairs.values() for one in plays} == {"slot.take two"}
    race = explorer.judge(pairs["TINY-03"][0])
    assert race is not None
    assert (race.diagram.part, race.diagram.expected, race.diagram.got) == ("owner", "0x1", "0x2")
    assert explorer.judge(pairs["TINY-04"][0]) is None, "its payload is as it should be"


@pytest.mark.parametrize(
    ("part", "clauses"),
    [
        ("owner", {"TINY-03"}),
        ("other slots", {"TINY-07"}),
        ("answer 2's owner", {"TINY-04"}),
        ("answer 2: v", {"TINY-05"}),
    ],
)
def test_an_allocation_answers_for_the_frame_that_it_is_given(part: str, clauses: set[str]) -> None:
    """One that is held on its own frame answers for that alone."""
    lives = {"owner": "TINY-04", "other slots": "TINY-07", "answer 2: v": "TINY-05", "": "TINY-06"}
    rules = replace(
        ALLOCATING,
        clauses=(*RULES.clauses, *lives.values()),
        clause_of_life=lambda _line, part: lives[part],
        clauses_of_life=tuple(lives.values()),
    )
    traces = {**THROUGH_A_STATIC, "slot.take": ALLOCATES_THROUGH_A_STATIC["slot.take"]}
    traces["slot.turns"] = (access(0, LOAD, 0), *traces["slot.turns"][1:])
    order = RaceResult({"answer 1": "ok", part: "0x1"})
    explorer = explored(
        TinyStage(traces=traces, got=RaceResult({**order.parts, part: "0x2"}), first=order, swapped=order),
        replace(rules, clause_of=lambda *_: "TINY-03"),
    )
    plays = [
        one for clause in ("TINY-03", *lives.values()) for one in explorer.plays(clause)
        if one.apart and one.held.method.name == "slot.turns" and one.meanwhile.line == "slot.take two"
    ]  # fmt: skip
    assert {race.clause for one in plays if (race := explorer.judge(one))} == clauses


class OnePlay(TinyStage):
    """A stage on which two that are interleaved come to no end; each play counts."""

    plays, ends = 0, SECOND

    def interleaved(self, *_: object) -> RaceResult:
        self.plays, self.failed = self.plays + 1, self.ends
        raise GuestTimeout("guest gone", detail="it does not come to its end: it stands at slot.rs:1")


def test_two_on_two_frames_that_come_to_no_end_break_one_clause_and_cost_one_guest() -> None:
    first, second = OnePlay(traces=ALLOCATES_THROUGH_A_STATIC), OnePlay(traces=ALLOCATES_THROUGH_A_STATIC)
    explorer = explored(first, ALLOCATING)
    [play] = (one for one in explorer.plays("TINY-03") if one.apart and one.held.line == "slot.take one")
    race = explorer.judge(play)
    assert race is not None and race.fatal
    assert (race.clause, race.diagram.part) == (LIFE[""], END), "what an allocation breaks as a whole"
    assert race.diagram.got.endswith("it stands at slot.rs:1")
    after = Explorer.of(cast("Stage", second), ALLOCATING, explorer.endless)
    for clause in LIFE.values():
        [same] = (one for one in after.plays(clause) if one.apart and one.held.line == "slot.take one")
        again = after.judge(same)
        assert again is not None and (again.clause, again.fatal) == (LIFE[""], False)
        assert again.diagram == race.diagram
    assert (first.plays, second.plays) == (1, 0)


@pytest.mark.parametrize(
    ("cpu", "clause", "line", "at"),
    [(FIRST, "TINY-04", "slot.take one", "slot.rs:1"), (SECOND, "TINY-06", "slot.take two", "")],
)
def test_the_one_of_two_that_ended_the_guest_is_to_blame(cpu: int, clause: str, line: str, at: str) -> None:
    stage = OnePlay(traces=ALLOCATES_THROUGH_A_STATIC)
    stage.ends = cpu
    by_line = {"slot.take one": "TINY-04", "slot.take two": "TINY-06"}
    explorer = explored(stage, replace(ALLOCATING, clause_of_life=lambda line, _: by_line[line]))
    play = next(one for one in explorer.plays("TINY-03") if one.apart and one.held.line == "slot.take one")
    race = explorer.judge(play)
    assert race is not None and race.standing is not None
    assert (race.clause, race.standing.line, race.at) == (clause, line, at)
    assert race.function == race.standing.function
    again = Explorer.of(cast("Stage", stage), explorer.rules, explorer.endless).judge(play)
    assert again is not None and (again.clause, again.standing) == (clause, race.standing)


def test_a_clause_that_nobody_asks_for_is_an_error() -> None:
    with pytest.raises(HarnessError, match="TINY-06"):
        explored(TinyStage(), replace(RULES, clauses=("TINY-03", "TINY-04")))


def test_only_a_contract_whose_names_are_there_is_judged_by_all_its_clauses() -> None:
    explorer = explored(TinyStage())
    explorer.require_plays("TINY-01")  # nothing can break it, and nothing is absent
    explorer.absent["slot.put"] = ("TinySlot::put",)
    explorer.require_plays("TINY-03")
    with pytest.raises(NotInThisVersion):
        explorer.require_plays("TINY-01")


def result(owner: int, answer: str = "ok") -> RaceResult:
    return RaceResult({"answer 1": answer, "owner": f"{owner:#x}"}, owner.to_bytes(8, "little"))


def judged(rules: RaceRules = RULES, **outcomes: object) -> Race | None:
    """What becomes of the first play of `TINY-03` on such a stage."""
    explorer = explored(TinyStage(**cast("Any", outcomes)), rules)
    return explorer.judge(explorer.plays("TINY-03")[0])


@pytest.mark.parametrize("got", [result(1), result(2, "fail")])
def test_what_one_of_the_two_orders_gives_is_legal(got: RaceResult) -> None:
    assert judged(got=got, first=result(1), swapped=result(2, "fail")) is None


def test_what_no_order_gives_is_a_race_of_the_first_part_that_differs() -> None:
    race = judged(got=result(3), first=result(1), swapped=result(2))
    assert race is not None
    shown = race.diagram
    assert (shown.part, shown.orders, shown.got) == ("owner", ("0x1", "0x2"), "0x3")
    assert (shown.hold.at, shown.hold.field, shown.state) == ("slot.rs:1", "owner", "in use")
    assert (race.play.clause, race.frame, race.slot[0], race.fatal) == ("TINY-03", 0x7000, 3, False)


def test_parts_of_both_orders_are_legal_together_in_an_operation_of_several_steps_alone() -> None:
    mixed: dict[str, object] = {"got": result(2), "first": result(1), "swapped": result(2, "fail")}
    assert judged(**cast("Any", mixed)) is not None
    stepwise = replace(RULES, in_steps={"slot.take": "it says so"})
    assert judged(stepwise, **cast("Any", mixed)) is None
    race = judged(replace(stepwise, of_one_order=("answer 1", "owner")), **cast("Any", mixed))
    assert race is not None, "whose it is must come from one order all the same"
    shown = race.diagram
    assert (shown.part, shown.expected, shown.got) == ("answer 1, owner", "ok, 0x1 or fail, 0x2", "ok, 0x2")


def test_bits_that_the_held_operation_leaves_behind_are_not_looked_at() -> None:
    outcomes: dict[str, object] = {"got": result(0x13), "first": result(0x3), "swapped": result(0x4)}
    low, high = ({("slot.take", "owner"): (mask, "a reason")} for mask in (0xF, 0x10))
    assert judged(replace(RULES, left_behind=low), **cast("Any", outcomes)) is None
    of_a_panic = replace(RULES, left_behind=low, of_free_frame={"answer 1": ("panic",)})
    assert judged(of_a_panic, **cast("Any", outcomes)) is not None, "somebody holds it"
    assert judged(replace(RULES, left_behind=high), **cast("Any", outcomes)) is not None
    of_another = {("slot.put", "owner"): (0xF, "a reason")}
    assert judged(replace(RULES, left_behind=of_another), **cast("Any", outcomes)) is not None


def test_an_operation_that_comes_to_no_end_is_a_race_that_costs_the_guest() -> None:
    race = judged(got=GuestTimeout("slot.take", detail="it does not come to its end"))
    assert race is not None and race.fatal
    assert race.diagram.part == END
    assert "does not come to its end" in race.diagram.got


def test_each_order_is_played_once() -> None:
    stage = TinyStage(got=result(9), first=result(1), swapped=result(2))
    explorer = explored(stage)
    play = explorer.plays("TINY-03")[0]
    assert explorer.judge(play) is not None and explorer.judge(play) is not None
    assert len(stage.asked) == 2


# ---- a race once more -------------------------------------------------------------------------------------


def race_at(stage: object) -> tuple[Explorer, Race]:
    """A race of one operation with itself, on a stage that is none."""
    [method] = methods(TABLE[2:3])
    operation = Operation(method, "slot.put 0x7000", "TinySlot::put")
    at = access(0, STORE, 1)
    trace = Trace((Vaddr(0), Vaddr(4)), (access(0, LOAD), at))
    play = Play(IN_USE, operation, trace, at, "owner", operation, "TINY-04")
    hold = Hold(cpu=1, instructions=1, at="slot.rs:29", field="owner")
    diagram = Interleaving(
        operations=("a", "b"), hold=hold, part="owner", orders=("0x7", "0x7"), got="0x6", state="in use"
    )
    race = Race(play, diagram, Paddr(0), play.clause, parts=("owner",))
    return Explorer(cast("Stage", stage), RULES), race


AHEAD = SlotAccess(cpu=1, field="owner", reads=True, writes=False)


@pytest.mark.parametrize(("left", "alone"), [("0x6", False), ("0x7", True)])
def test_a_second_play_counts_where_it_ends_like_the_first(left: str, alone: bool) -> None:
    recording = Recording((AHEAD, AHEAD), 1, 1)
    stage = SimpleNamespace(
        recorded=lambda *_: (recording, RaceResult({"owner": left})), alone=lambda *_: (AHEAD,)
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
    assert found.fatal and "does not come to its end" in found.unordered
    assert (found.diagram.what, found.diagram.accesses) == (race.diagram.what, (AHEAD,))
