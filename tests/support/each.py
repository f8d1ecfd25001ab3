"""One test that looks at many files: a test for each would cost more than what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

T = TypeVar("T")
Test = Callable[[T], None]


def each(values: Collection[T], *, ids: Callable[[T], str] = str) -> Callable[[Test[T]], Callable[[], None]]:
    """Call a test with each of some values; it fails with all that are wrong, and where there is no value.

    Args:
        ids: how a value is called in the message.
    """

    def made_one(test: Test[T]) -> Callable[[], None]:
        def over_all() -> None:
            assert values, "nothing to look at"
            wrong = []
            for value in values:
                try:
                    test(value)
                except AssertionError as error:
                    wrong.append(f"{ids(value)}: {error}")
            assert not wrong, "\n".join(wrong)

        over_all.__name__, over_all.__doc__, over_all.__module__ = (
            test.__name__,
            test.__doc__,
            test.__module__,
        )
        return over_all

    return made_one
