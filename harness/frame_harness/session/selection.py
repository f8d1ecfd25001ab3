"""Names one case of a check in such a way that `-k` selects it alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import pytest
from _pytest.mark import KeywordMatcher
from _pytest.mark.expression import Expression

# What `-k` reads as one word; of an id with other characters it takes the words between them.
_WORD: Final = re.compile(r"[\w:+\-.\[\]\\/]+")
_OPERATORS: Final = frozenset({"and", "or", "not"})


def selection_of(item: pytest.Item, among: Iterable[pytest.Item]) -> str:
    """Return what `-k` takes for a check: its function's name, or that of its case where there are others.

    Cases that differ in characters alone that `-k` does not know come along.

    Args:
        among: all checks that the same command collects.
    """
    function = str(getattr(item, "originalname", item.name))
    others = [KeywordMatcher.from_item(other) for other in among if other is not item]
    words = [word for word in _WORD.findall(item.name) if word not in _OPERATORS]
    counts = {
        selection: sum(map(Expression.compile(selection).evaluate, others))
        for selection in (function, " and ".join(words))
    }
    return min(counts, key=lambda selection: counts[selection])  # the first of two that are as good
