"""Proves that what a check expected and got travels as numbers, where it is a field's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from frame_harness.guest.checks import ClauseViolated, Values, expect
from frame_harness.judge.evidence import CheckResult, FieldValues, Outcome, decode, encode
from tests.unit.evidence_samples import RELEASE, TABLE


def values_of(got: Any, expected: Any, field: str = "flags") -> Values | None:
    with pytest.raises(ClauseViolated) as caught:
        expect("what", got, expected, field=field)
    return caught.value.values


@pytest.mark.parametrize("kind", [int, np.uint32, np.uint64])
def test_numbers_of_a_field_are_kept_as_numbers(kind: type) -> None:
    assert values_of(kind(5), kind(7)) == Values({"flags": 7}, {"flags": 5})


@pytest.mark.parametrize(
    ("got", "expected"), [(True, False), ("a", "b"), ([1], []), (-1, 0), (1 << 64, 0), (1, None)]
)
def test_what_is_no_number_of_a_field_is_text_alone(got: Any, expected: Any) -> None:
    assert values_of(got, expected) is None


def test_a_number_of_no_field_is_text_alone() -> None:
    assert values_of(1, 2, field="") is None


def test_the_largest_number_comes_back_from_json() -> None:
    values = FieldValues(expected={"next": (1 << 64) - 1}, got={"next": 0}, before={"next": 1})
    result = CheckResult(
        check=TABLE, clauses=("ALLOC-07",), run=RELEASE, outcome=Outcome.VIOLATED, duration_s=0,
        values=values, panicked=True,
    )  # fmt: skip
    assert decode(encode(result), CheckResult) == result
