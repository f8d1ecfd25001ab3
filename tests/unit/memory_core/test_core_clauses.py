"""What engines know of a core's clauses is said of clauses that there are."""

from __future__ import annotations

from frame_harness.memory_core.clauses import CORE_CLAUSES, LASTING, NEEDS, SLOT_CLAUSES, SUCCEEDS, TRAITS


def test_traits_are_those_of_clauses() -> None:
    named = {*TRAITS, *NEEDS, *SUCCEEDS, *SUCCEEDS.values()}
    assert sorted(named - CORE_CLAUSES.keys()) == []


def test_slots_are_looked_at_behind_whatever_they_show() -> None:
    assert SLOT_CLAUSES <= LASTING
