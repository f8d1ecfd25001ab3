"""Which cases of a memory core are played alone, and what each of them has to come to."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from frame_harness.base.errors import UsageError
from frame_harness.base.profiles import profiles_named
from frame_harness.base.text import plural
from frame_harness.judge.difference import BrokenCheck
from frame_harness.memory_core.steps import parsed, require_sense

Cases = Mapping[str, Mapping[str, tuple[str, ...]]]
"""By profile the cases that are the only ones, each with the clauses that it broke; none for a campaign."""


def cases_to_play(profile: str, case: str, before: Collection[BrokenCheck]) -> Cases:
    """The cases that are the only ones; nothing for a whole campaign.

    Args:
        profile: as the command line names it.
        case: of the command line; empty where it names none.
        before: checks that were broken.
    Raises:
        UsageError: a case makes no sense; or what was broken has none in the chosen profiles.
    """
    named = profiles_named(profile)
    if case:
        require_sense(parsed(case))
        return {one: {case: ()} for one in named}
    cases: dict[str, dict[str, tuple[str, ...]]] = {}
    for one in sorted(before):
        case, profile_of_it = one.place.case, one.place.run.profile
        if case and profile_of_it in named:
            require_sense(parsed(case))
            of_profile = cases.setdefault(profile_of_it, {})
            of_profile[case] = (*of_profile.get(case, ()), *one.clauses)
    if before and not cases:
        raise UsageError(
            "--last-failed", plural(len(before), "check"), expected=f"cases in {' or '.join(named)}",
            actual="none", next_step="leave --profile away, or name a report of this tree",
        )  # fmt: skip
    return cases


def clauses_of(cases: Cases) -> tuple[str, ...]:
    """The clauses that some case has to come to."""
    of_cases = (clauses for of_profile in cases.values() for clauses in of_profile.values())
    return tuple(dict.fromkeys(clause for clauses in of_cases for clause in clauses))
