"""The profiles in which the shim is built around a subject, and what each is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Use(NamedTuple):
    """What a profile is for."""

    words: str
    """What code it makes."""
    judges: bool = False
    """A subject is judged in it, in whatever way."""
    may_be_named: bool = False
    """By who judges a subject, and by what is saved of that."""


COVERAGE: Final = "cov"
"""Its image holds every line of the subject that anything calls."""
STEERING: Final = "fuzz"
"""Its image counts its branches, for fuzzing. No subject is judged in it."""
PROFILE_USES: Final[Mapping[str, Use]] = {
    "dev": Use("little optimization, debug assertions", judges=True, may_be_named=True),
    "release": Use("as a kernel ships it", judges=True, may_be_named=True),
    COVERAGE: Use("dev, not optimized", may_be_named=True),
    STEERING: Use("cov, with counted branches"),
}
PROFILES: Final = tuple(name for name, use in PROFILE_USES.items() if use.judges)
NAMED_PROFILES: Final = tuple(name for name, use in PROFILE_USES.items() if use.may_be_named)
BOTH: Final = "both"
"""Stands for all of `PROFILES` where one is asked for."""


def profiles_named(word: str) -> tuple[str, ...]:
    """The profiles that a value of `--profile` stands for: two for `both`."""
    return PROFILES if word == BOTH else (word,)


def listed() -> str:
    """The table in lines."""
    return "\n".join(f"{name:8} {use.words}" for name, use in PROFILE_USES.items())
