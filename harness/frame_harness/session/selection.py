"""Reads what `-k` takes, and names one case of a check so that `-k` selects it alone.

pytest has no public reader of `-k`. One of ours would read it otherwise one day: pytest's own is used, here
alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import pytest
from _pytest.mark import KeywordMatcher
from _pytest.mark.expression import Expression

from frame_harness.base.errors import UsageError
from frame_harness.contract.clauses import Clauses
from frame_harness.session.results import clauses_of

# What `-k` reads as one word; of an id with other characters it takes the words between them.
_WORD: Final = re.compile(r"[\w:+\-.\[\]\\/]+")
_EXAMPLE: Final = 'write it like "ALLOC-07 or not CONST"'
_OPERATORS: Final = frozenset({"and", "or", "not"})
_MATCHER: Final = pytest.StashKey[KeywordMatcher]()


def require_selection(select: str, clauses: Clauses) -> None:
    """Refuse what is no expression here: deep inside of pytest's workers it is a crash.

    Raises:
        UsageError: names the place of the mistake.
        UnknownClauseError: it has the form of a clause's id, and is none.
    """
    if not select:
        return
    if select.isspace():  # to pytest that is no choice, so that all is made
        raise UsageError(
            "selection", repr(select), expected="clause ids or names of checks", actual="blanks",
            next_step=_EXAMPLE,
        )  # fmt: skip
    for word in re.findall(r"\b[A-Z]+-[0-9]{2,}\b", select):
        clauses.known(word)
    try:
        Expression.compile(select)
    except Exception as error:  # a ParseError in pytest 8, a SyntaxError in pytest 9
        raise UsageError("selection", repr(select), detail=str(error), next_step=_EXAMPLE) from error
    if "=" in select:  # the parameters of a mark, which pytest's `-m` has
        raise UsageError("selection", repr(select), detail="names take no parameters", next_step=_EXAMPLE)


def without_campaigns(select: str, items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Leave out campaigns that only a clause's id brought along, where another check looks at that clause.

    A campaign looks at many clauses at once, and takes longer than all checks that are made for one of them.

    Args:
        select: what `-k` was; nothing is left out where it is empty.
        items: those that it chose.
    """
    words = [word.lower() for word in _WORD.findall(select) if word not in _OPERATORS]
    looked_at = {id_ for item in items if not _is_campaign(item) for id_ in clauses_of(item)}

    def is_asked_for(item: pytest.Item) -> bool:
        name = f"{item.path.name}::{getattr(item, 'originalname', item.name)}".lower()
        by_id = any(word in id_.lower() for word in words for id_ in clauses_of(item))
        return not by_id or any(word in name for word in words) or not looked_at.issuperset(clauses_of(item))

    return [item for item in items if not _is_campaign(item) or is_asked_for(item)]


def _is_campaign(item: pytest.Item) -> bool:
    return item.get_closest_marker("campaign") is not None


def selection_of(item: pytest.Item, among: Iterable[pytest.Item]) -> str:
    """Return what `-k` takes for a check: its function's name, or that of its case where there are others.

    Cases that differ in characters alone that `-k` does not know come along.

    Args:
        among: all checks that the same command collects.
    """
    function = str(getattr(item, "originalname", item.name))
    others = [matcher_of(other) for other in among if other is not item]
    count = _count(function, others)
    if not count:
        return function
    case = " and ".join(word for word in _WORD.findall(item.name) if word not in _OPERATORS)
    return case if _count(case, others) < count else function


def _count(selection: str, matchers: Iterable[KeywordMatcher]) -> int:
    return sum(map(Expression.compile(selection).evaluate, matchers))


def matcher_of(item: pytest.Item) -> KeywordMatcher:
    """Return what pytest compares with the words of `-k`, made once for each check."""
    found = item.stash.get(_MATCHER, None)
    if found is None:
        found = item.stash[_MATCHER] = KeywordMatcher.from_item(item)
    return found
