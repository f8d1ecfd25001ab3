"""The table of clauses and checks shows what has no check."""

import io

import pytest
from rich.console import Console

from frame_harness.cli.clauses import suite_clauses
from frame_harness.contract.clauses import UnknownClauseError
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.orderings.table import ORDERING_CLAUSES
from frame_harness.report.clause_table import clause_table
from tests.unit.evidence_samples import LIFE, TABLE, healthy

COLLECTED = [(result.check, result.clauses) for result in healthy().checks]


def test_checks_are_listed_once_under_each_clause_they_name() -> None:
    table = clause_table(CLAUSES, COLLECTED)
    assert list(table.checks) == list(CLAUSES)
    assert table.checks["ALLOC-09"] == table.checks["ALLOC-02"] == (LIFE,)
    assert table.checks["ALLOC-07"] == (TABLE,)


def test_what_is_missing_are_the_clauses_without_a_check() -> None:
    everything = [("check", list(CLAUSES))]
    assert clause_table(CLAUSES, everything).missing == ()
    assert set(clause_table(CLAUSES, []).missing) == set(CLAUSES)
    assert clause_table(CLAUSES, [("check", everything[0][1][1:])]).missing == ("CONST-01",)


def test_every_clause_of_the_contract_has_a_check_in_the_suite() -> None:
    table = suite_clauses()
    assert table.missing == ()
    for id_ in ORDERING_CLAUSES:
        assert any("test_compiled_code_orders_memory" in check for check in table.checks[id_])


def test_a_check_that_names_an_unknown_clause_is_refused() -> None:
    with pytest.raises(UnknownClauseError, match="did you mean ALLOC-07"):
        clause_table(CLAUSES, [("check", ["ALOC-07"])])


def test_markdown_has_a_row_for_each_clause() -> None:
    text = clause_table(CLAUSES, COLLECTED).markdown()
    for id_, entry in CLAUSES.items():
        assert f"| {id_} | {entry.kind} | {entry.title} |" in text
    assert "| ALLOC-07 | H | PageTable before zeroed(false) zeroes too | `" + TABLE + "` |" in text


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_a_terminal(width: int) -> None:
    file = io.StringIO()
    Console(file=file, width=width).print(clause_table(CLAUSES, COLLECTED).terminal())
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
