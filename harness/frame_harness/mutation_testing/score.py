"""Adds up what became of mutants, and says which clauses should have noticed a survivor."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from frame_harness.contract.clauses import ClauseKind
from frame_harness.contract.contract import Contract
from frame_harness.mutation.mutants import Mutant, diff
from frame_harness.mutation_testing.explained import SurvivorExplanation
from frame_harness.mutation_testing.order import OF_ORDERINGS, names
from frame_harness.mutation_testing.records import Clue, Fate, JudgedMutant, MutantReport, Share
from frame_harness.mutation_testing.reference import Reference

MOST_CLUES: Final = 6
"""Clauses that are named for a survivor."""
_CHECKS_NAMED: Final = 3


def reported(
    mutant: Mutant,
    judged: JudgedMutant,
    texts: Mapping[str, bytes],
    reference: Reference,
    contract: Contract,
    reason: SurvivorExplanation | None = None,
) -> MutantReport:
    """Return a mutant with its diff; of a survivor also who should have noticed it, or why nobody."""
    shown = diff(texts[mutant.file], mutant)
    if judged.fate is not Fate.SURVIVED:
        return MutantReport(mutant=mutant, judged=judged, diff=shown)
    reaching = reference.reaching(mutant)
    clues = clues_of(mutant, reaching, reference, contract)
    found = MutantReport(mutant=mutant, judged=judged, diff=shown, clues=clues, reached_by=len(reaching))
    return replace(found, explained=reason.why, equivalent=reason.equivalent) if reason else found


def clues_of(
    mutant: Mutant, reaching: frozenset[str], reference: Reference, contract: Contract
) -> tuple[Clue, ...]:
    """Return the clauses that should have noticed a mutant, those that are most about its function first.

    A clause is one where a check of it names the function, or where the contract says that the function can
    break it. Where there is none, these are the clauses whose checks run the line, those first whose checks
    run the fewest lines. For a weaker memory ordering only clauses about orderings count: no other notices.
    """
    checks: dict[str, set[str]] = defaultdict(set)
    clauses_of = {one.check: one.clauses for one in reference.results}
    for check, clauses in clauses_of.items():
        for clause in clauses:
            if clause in contract.clauses:
                checks[clause].add(check)
    about = {
        clause
        for check, clauses in clauses_of.items()
        if names(reference.about.get(check, ()), mutant)
        for clause in clauses
        if clause in checks
    }
    if mutant.operator in OF_ORDERINGS:
        about = {clause for clause in about if ClauseKind.ORDERING in contract.clauses[clause].kinds}
        if not about:
            return ()
    told = {clause: names(contract.functions.of_clause.get(clause, ()), mutant) for clause in checks}
    ran = {clause: checks[clause] & reaching for clause in checks}
    chosen = about or {clause for clause in checks if ran[clause]}

    def rank(clause: str) -> tuple[bool, int, int]:
        lines = min((reference.breadth[check] for check in ran[clause]), default=sys.maxsize)
        return not told[clause], lines, contract.clauses.rank(clause)

    return tuple(
        Clue(
            clause=clause,
            title=contract.clauses[clause].title,
            checks=tuple(sorted(ran[clause]))[:_CHECKS_NAMED],
        )
        for clause in sorted(chosen, key=rank)[:MOST_CLUES]
    )


def share(name: str, reports: Iterable[MutantReport]) -> Share:
    """Count the fates of some mutants, under a name for the table."""
    fates = [one.fate for one in reports]
    return Share(
        name=name,
        killed=fates.count(Fate.KILLED),
        survived=fates.count(Fate.SURVIVED),
        equivalent=fates.count(Fate.EQUIVALENT),
        not_linked=fates.count(Fate.NOT_LINKED),
        does_not_compile=fates.count(Fate.DOES_NOT_COMPILE),
        errors=fates.count(Fate.ERROR),
    )


def by_operator(reports: Sequence[MutantReport]) -> tuple[Share, ...]:
    """Count the fates of each operator's mutants, those with most survivors first."""
    return _shares(reports, {one.mutant.key: one.mutant.operator.value for one in reports})


def by_function(reports: Sequence[MutantReport]) -> tuple[Share, ...]:
    """Count the fates of each function's mutants, those with most survivors first."""
    several = len({one.mutant.file for one in reports}) > 1
    return _shares(
        reports,
        {
            one.mutant.key: f"{one.mutant.file}: {one.mutant.function}" if several else one.mutant.function
            for one in reports
        },
    )


def _shares(reports: Sequence[MutantReport], name_of: Mapping[str, str]) -> tuple[Share, ...]:
    groups: dict[str, list[MutantReport]] = defaultdict(list)
    for one in reports:
        groups[name_of[one.mutant.key]].append(one)
    shares = [share(name, each) for name, each in groups.items()]
    return tuple(sorted(shares, key=lambda one: (-one.survived, -(one.killed + one.survived), one.name)))
