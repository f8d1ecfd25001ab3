"""Proves that a marker which says nothing is refused, and what a good one says is taken as it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.session import markers


def check(*marks: pytest.MarkDecorator) -> Any:
    """A test with these markers."""
    given = [one.mark for one in marks]
    return cast(Any, SimpleNamespace(iter_markers=lambda name: (one for one in given if one.name == name)))


def test_what_markers_name_is_taken_in_their_order() -> None:
    one = check(pytest.mark.machine("q35", "pc"), pytest.mark.machine("microvm"))
    assert markers.machines_of(one) == ["q35", "pc", "microvm"]
    assert markers.machines_of(check()) == []
    two = check(pytest.mark.clause("REF-01", at="MetaSlot::inc_ref"), pytest.mark.clause("ALLOC-07"))
    assert markers.clauses_of(two, CLAUSES) == ("REF-01", "ALLOC-07")


@pytest.mark.parametrize("mark", [pytest.mark.machine(), pytest.mark.machine("q35", profile="dev")], ids=str)
def test_a_marker_of_machines_that_says_something_else_is_refused(mark: pytest.MarkDecorator) -> None:
    with pytest.raises(UsageError, match="expected the names of machines alone"):
        markers.machines_of(check(mark))


@pytest.mark.parametrize(
    "mark", [pytest.mark.clause(), pytest.mark.clause("REF-01", at=1), pytest.mark.clause("REF-99")], ids=str
)
def test_a_marker_of_clauses_that_says_something_else_is_refused(mark: pytest.MarkDecorator) -> None:
    with pytest.raises(UsageError, match=r"expected the ids of clauses|not in the contract"):
        markers.clauses_of(check(mark), CLAUSES)
