"""Only checks say whether anything was looked at; each fact about them is asked for in a verdict."""

from __future__ import annotations

import inspect

from msgspec.structs import replace

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge import of_checks
from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.conjuncts import reasons_against
from frame_harness.judge.evidence import Outcome, Source
from frame_harness.judge.of_checks import none_made
from tests.unit.evidence_samples import DEV, TABLE, VTABLE, healthy, passed


def test_healthy_evidence_gives_no_reason() -> None:
    assert list(reasons_against(healthy(), FRAME_METADATA, EMPTY)) == []


def test_no_check_at_all_is_not_taken_for_checks_that_were_skipped() -> None:
    assert not none_made([])


def test_checks_that_are_all_absent_are_not_taken_for_skipped_ones() -> None:
    absent = replace(passed(VTABLE, DEV), outcome=Outcome.ABSENT, lacks=("MetaSlot",))
    assert not none_made([absent])
    assert none_made([absent, replace(passed(TABLE, DEV), outcome=Outcome.SKIPPED)])


def test_what_was_found_beside_skipped_checks_does_not_count_as_one() -> None:
    skipped = replace(passed(VTABLE, DEV), outcome=Outcome.SKIPPED)
    beside = replace(passed(TABLE, DEV), outcome=Outcome.VIOLATED, source=Source.PREFLIGHT)
    assert none_made([skipped, beside])
    assert not none_made([skipped, replace(beside, source=Source.CHECK)])


def test_every_fact_about_checks_is_asked_for() -> None:
    facts = [
        name
        for name, function in inspect.getmembers(of_checks, inspect.isfunction)
        if function.__module__ == of_checks.__name__ and str(inspect.signature(function)).endswith("Reason]")
    ]
    asked = inspect.getsource(inspect.getmodule(reasons_against))  # type: ignore[arg-type]
    assert len(facts) == 7 and [name for name in facts if asked.count(name) < 2] == []
