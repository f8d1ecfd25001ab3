"""A test over many values fails with each that is wrong."""

from __future__ import annotations

import pytest

from tests.support.each import each


def test_every_value_that_is_wrong_is_named() -> None:
    @each([1, 2, 3, 4])
    def is_even(number: int) -> None:
        assert number % 2 == 0, "odd"

    with pytest.raises(AssertionError, match=r"(?s)\b1: odd.*\b3: odd") as caught:
        is_even()
    assert "2: " not in str(caught.value)


def test_no_value_at_all_is_no_success() -> None:
    @each(())
    def is_never_asked(_: int) -> None:
        pass

    with pytest.raises(AssertionError, match="nothing to look at"):
        is_never_asked()


def test_what_is_no_failed_assertion_ends_it_at_once() -> None:
    @each([0, 1])
    def divides(number: int) -> None:
        assert 1 // number

    with pytest.raises(ZeroDivisionError):
        divides()
