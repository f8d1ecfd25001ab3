"""The clause table says what the contract says."""

import os
import re
from pathlib import Path

import pytest

from frame_harness.contract.clauses import ClauseKind, UnknownClauseError
from frame_harness.contract.requests import commands_of, steps_of
from frame_harness.frame_metadata.clauses import CLAUSES

CONTRACT = "FRAME_HARNESS_CONTRACT"


def test_ids_and_kinds_are_those_of_the_contract_document() -> None:
    path = os.environ.get(CONTRACT)
    if not path:
        pytest.skip(f"{CONTRACT} is not set: set it to the path of the contract document")
    rows = re.findall(
        r"^\| ([A-Z]+-\d+) \| ([A-Z/]+) \|", Path(path).read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [(entry.id, entry.kind) for entry in CLAUSES.values()] == rows


def test_sections_of_the_contract_document_are_ours() -> None:
    path = os.environ.get(CONTRACT)
    if not path:
        pytest.skip(f"{CONTRACT} is not set: set it to the path of the contract document")
    section_of = {}
    section = ""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"## ([A-Z])\.", line):
            section = heading[1]
        elif row := re.match(r"\| ([A-Z]+-\d+) \|", line):
            section_of[row[1]] = section
    assert section_of == {entry.id: entry.section for entry in CLAUSES.values()}


def test_every_clause_has_a_section_kinds_and_words_that_fit_a_line() -> None:
    for entry in CLAUSES.values():
        assert entry.section in CLAUSES.sections
        assert entry.kinds
        assert 10 <= len(entry.title) <= 90
    assert len({entry.title for entry in CLAUSES.values()}) == len(CLAUSES)


def test_a_clause_may_be_of_two_kinds() -> None:
    assert CLAUSES["GUARD-09"].kinds == {ClauseKind.PARALLEL, ClauseKind.HAZARD}
    assert CLAUSES["VT-03"].hazard


@pytest.mark.parametrize(
    ("typo", "near"), [("ALLOC-7", "ALLOC-07"), ("alloc-07", "ALLOC-07"), ("FRAM-03", "FRAME-03")]
)
def test_a_misspelled_id_names_the_nearest_clause(typo: str, near: str) -> None:
    with pytest.raises(UnknownClauseError, match=f"did you mean {near}"):
        CLAUSES.known(typo)


def test_an_id_like_no_other_names_the_range_of_ids() -> None:
    with pytest.raises(UnknownClauseError, match="use an id from CONST-01 to FRAME-08"):
        CLAUSES.known("zzz")


def test_order_of_the_contract_puts_strangers_last() -> None:
    assert CLAUSES.in_order(["x", "VT-01", "CONST-01", "VT-01"]) == ["CONST-01", "VT-01", "x"]


def test_a_request_is_taken_apart_into_the_commands_that_it_runs() -> None:
    assert commands_of("batch inc 0x1000;dec 0x1000; ") == ["inc 0x1000", "dec 0x1000"]
    assert commands_of("stats") == ["stats"]
    assert steps_of("smp.job inc@0x1000 aux=7 dec") == ["inc", "aux", "dec"]
    assert steps_of("stats") is None
