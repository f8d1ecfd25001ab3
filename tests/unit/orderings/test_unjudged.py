"""Proves which clauses nobody can judge because of code that was not understood."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as File

import pytest

from frame_harness.contract.versions import Versions
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.orderings.rules import ORDERINGS
from frame_harness.frame_metadata.orderings.table import DEC_REF
from frame_harness.orderings import checker
from frame_harness.orderings.demands import CanarySource, Need, OrderingRules
from frame_harness.orderings.events import (
    AccessOp,
    Function,
    MemoryAccess,
    MemoryOrder,
    Path,
    SourceStep,
    Space,
)
from frame_harness.orderings.ir_paths import PathError
from frame_harness.orderings.report import Compiled, OrderingViolation
from frame_harness.orderings.rules import judge
from frame_harness.orderings.unjudged import ATOMIC, certain, unjudged

FILE = "/k/frame.rs"
NEED = Need("GEN-01", "take", "read", "generation", MemoryOrder.ACQUIRE)
RULES = OrderingRules(
    clauses=("GEN-01", "REF-08", "ARRAY-12", "ALLOC-12"), needs=(NEED,), clause_of_field={"flags": "REF-08"},
    clause_of_slot="REF-08", clause_of_statics="ARRAY-12", canary=CanarySource(File("x.rs"), frozenset()),
    also=("make",), in_steps={"make": ("ALLOC-12",)},
)  # fmt: skip


def compiled(name: str, *reach: Space, end: str = "return", op: AccessOp = AccessOp.OPAQUE) -> Compiled:
    strange = MemoryAccess(
        op, Space.NONE, "xsave", reach=frozenset(reach), trail=(SourceStep(name, FILE, 12),)
    )
    function = Function(name, FILE, 10, (Path((strange,), end),))
    return Compiled({name: function}, {}, FILE, {})


def open_clauses(of: Compiled) -> list[tuple[str, str, int]]:
    return [(one.clause, one.why, one.line) for one in unjudged(of, RULES)]


def test_code_that_is_understood_leaves_nothing_open() -> None:
    assert open_clauses(compiled("take", Space.SLOT, op=AccessOp.CALL)) == []


def test_strange_code_leaves_open_what_is_said_of_its_function() -> None:
    assert open_clauses(compiled("take")) == [("GEN-01", "xsave", 12)]
    assert open_clauses(compiled("make")) == [("ALLOC-12", "xsave", 12)]


def test_strange_code_that_gets_a_slot_or_a_static_leaves_their_clauses_open_too() -> None:
    assert {clause for clause, _, _ in open_clauses(compiled("take", Space.SLOT))} == {"GEN-01", "REF-08"}
    assert {clause for clause, _, _ in open_clauses(compiled("take", Space.STATIC))} == {"GEN-01", "ARRAY-12"}


def test_a_way_into_a_panic_counts_only_by_the_slots_that_it_gets() -> None:
    assert open_clauses(compiled("take", end="panic")) == []
    assert len(open_clauses(compiled("take", Space.SLOT, end="panic"))) == 2


def test_a_function_that_could_not_be_read_leaves_its_clauses_and_those_of_slots_open() -> None:
    unread = Compiled({}, {}, FILE, {"take": "an indirect call"}, places={"take": (FILE, 30)})
    assert open_clauses(unread) == [("GEN-01", "an indirect call", 30), ("REF-08", "an indirect call", 30)]
    assert [one.line for one in unjudged(replace(unread, places={}), RULES)] == [0, 0]


def outcomes(of: Compiled, needs: tuple[Need, ...] = ()) -> dict[str, str]:
    versions = Versions(names=(), scope="", arguments="", slot=("MetaSlot",))
    return dict(judge(of, replace(RULES, needs=needs), versions).clauses)


def test_no_clause_is_held_in_code_without_a_function_that_it_speaks_of() -> None:
    empty = Compiled({}, {}, FILE, {})
    assert set(outcomes(empty).values()) == {"not-evaluated"}
    assert outcomes(empty, (replace(NEED, optional=True),))["GEN-01"] == "not-evaluated"
    assert outcomes(empty, (NEED,))["GEN-01"] == "violated", "it has to be there"


def test_a_clause_is_held_where_one_of_its_functions_was_read() -> None:
    found = outcomes(compiled("make", op=AccessOp.CALL))
    assert [id_ for id_, outcome in found.items() if outcome == "held"] == ["ALLOC-12"]


def test_a_function_that_could_not_be_walked_from_known_values_leaves_what_is_judged_in_steps_open() -> None:
    walked = compiled("make", op=AccessOp.CALL)
    unwalked = replace(walked, unwalked={"make": "too many paths"}, places={"make": (FILE, 30)})
    assert open_clauses(walked) == [] and open_clauses(unwalked) == [("ALLOC-12", "too many paths", 30)]


def test_too_many_ways_from_known_values_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Walker:
        def __init__(self, *_: object) -> None: ...

        def functions(self) -> tuple[str, ...]:
            return (DEC_REF,)

        def function(self, name: str, *, owned: object = None, **_: object) -> Function:
            if owned is not None:
                raise PathError("function", name, detail="too many paths")
            return Function(name, FILE, 10, (Path((), "return"),))

    monkeypatch.setattr(checker, "Walker", Walker)
    read = checker.read_compiled("", FILE, FRAME_METADATA, ORDERINGS)
    assert read.functions.keys() == {DEC_REF} and read.unwalked == {
        DEC_REF: f"function: {DEC_REF}: too many paths"
    }
    report = judge(read, ORDERINGS, FRAME_METADATA.versions)
    assert report.clauses["REF-09"] == "not-evaluated"


def violation(clause: str, function: str, expected: str = "Acquire") -> OrderingViolation:
    return OrderingViolation(clause, function, "flags", expected, "Relaxed", FILE, 7, "this")


def test_only_what_strange_code_cannot_change_is_certain() -> None:
    here, elsewhere = violation("GEN-01", "take"), violation("GEN-01", "other")
    plain = violation("GEN-01", "take", ATOMIC)
    unknown = unjudged(compiled("take"), RULES)
    assert certain([here, elsewhere, plain], unknown, RULES) == [elsewhere, plain]


def test_a_clause_over_several_functions_is_open_everywhere() -> None:
    assert certain([violation("ALLOC-12", "other")], unjudged(compiled("make"), RULES), RULES) == []
