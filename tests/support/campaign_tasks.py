"""Tasks for campaigns in tests; workers import them."""

from __future__ import annotations

from frame_harness.base.record import Record


class Number(Record, frozen=True, kw_only=True):
    """A payload, and a result."""

    n: int


class Square(Record, frozen=True, kw_only=True):
    """What becomes of a number."""

    n: int


def square(number: Number) -> Square:
    """The least that a task can do."""
    return Square(n=number.n * number.n)
