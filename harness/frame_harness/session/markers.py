"""Refuses markers of checks that say nothing: such a check would pass, or be skipped, for ever."""

from __future__ import annotations

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.contract.clauses import Clauses
from frame_harness.session import results


def machines_of(definition: pytest.Function) -> list[str]:
    """The machines that the markers of a check name; none where it may have any.

    Raises:
        UsageError: a marker names none, or says something else.
    """
    marks = list(definition.iter_markers("machine"))
    for mark in marks:
        if not mark.args or mark.kwargs:
            raise _wrong(mark, "the names of machines alone")
    return [str(name) for mark in marks for name in mark.args]


def clauses_of(item: pytest.Item, clauses: Clauses) -> tuple[str, ...]:
    """The clauses that the markers of a check name, each of them one of the contract's.

    Raises:
        UsageError: one is unknown, or a marker names none or says something else.
    """
    for mark in item.iter_markers("clause"):
        if not mark.args or mark.kwargs.keys() - {"at"} or not isinstance(mark.kwargs.get("at", ""), str):
            raise _wrong(mark, "the ids of clauses, then at=function or nothing")
    return tuple(clauses.known(str(id_)).id for id_ in results.clauses_of(item))


def _wrong(mark: pytest.Mark, expected: str) -> UsageError:
    given = [*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())]
    return UsageError(
        "marker", mark.name, expected=expected, actual=", ".join(given) or "nothing",
        next_step=f"`pytest --markers` shows what {mark.name} takes",
    )  # fmt: skip
