"""The clauses that a subject breaks, each with everything seen of it, causes before consequences."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from frame_harness.base.record import Record
from frame_harness.contract.clauses import Clause
from frame_harness.contract.contract import Contract
from frame_harness.judge.baseline import Baseline
from frame_harness.judge.evidence import CheckResult, Evidence, Level, Outcome, RunKey
from frame_harness.judge.origin import Origin

FaultKey = tuple[str, str]
"""A clause, with what tells faults apart that break it."""


class Finding(Record, frozen=True, kw_only=True):
    """One broken clause, or one `cause` of several that break it.

    `known` holds the baseline's reason, empty when the baseline lacks it.

    `where` says in which runs it shows, in words; the first of `results` is the violation to show: the
    simplest check saw it, and of a new finding no entry of the baseline covers it. `root` is the fault that
    this one is a consequence of. `origin` is known where it was followed back over the subject's history.
    """

    clause: str
    title: str
    where: str
    results: tuple[CheckResult, ...]
    known: str = ""
    root: FaultKey | None = None
    cause: str = ""
    origin: Origin | None = None

    @property
    def fault(self) -> FaultKey:
        """What it is about; no two findings of a verdict have the same."""
        return self.clause, self.cause

    @property
    def explained_by(self) -> str:
        """The clause of its root; empty where it has none."""
        return self.root[0] if self.root else ""

    @property
    def first(self) -> CheckResult:
        """The violation to show: what the simplest check saw."""
        return self.results[0]

    @property
    def runs(self) -> tuple[RunKey, ...]:
        """The runs in which it shows, each once, in the order of the results."""
        return tuple(dict.fromkeys(result.run for result in self.results))


@dataclass(frozen=True, eq=False)
class CauseFinder:
    """Orders findings, and finds causes among them, by the tables of a contract.

    A finding is a consequence only when everything seen of it can come of the cause: the same function writes
    the same field wrong in a simpler check; or a constant or a type is wrong that decides about the field; or
    the very values of the cause are seen again in the same field, by a check that called the function; or it
    is the very same observation; or a check judged nothing, because a call failed on its way after it had
    called the function. And the cause shows in every run in which the other one does. Hazards, known findings
    and memory orderings are never consequences: each can be there for its own sake. What only looks like a
    consequence stays a finding, behind its likely cause.
    """

    contract: Contract
    runs: Sequence[RunKey] = ()
    """Those of the evidence, in order: of equally simple results that of the first is shown."""

    def simplest_first(self, results: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
        """Results of one clause: the simplest checks first, then functions that call the fewest others."""
        return tuple(sorted(results, key=self.simplicity))

    def in_order(self, found: Sequence[Finding]) -> list[Finding]:
        """New before known, promises before hazards, simple before involved checks, writer before noticer."""
        left, ordered = sorted(found, key=self._place), list[Finding]()
        while left:
            first = self._place(left[0])[:3]
            peers = [one for one in left if self._place(one)[:3] == first]
            chosen = next(
                (one for one in peers if not any(self._wrote(other, one) for other in peers)), peers[0]
            )
            left.remove(chosen)
            ordered.append(chosen)
        return ordered

    def causes(self, ordered: Sequence[Finding]) -> dict[FaultKey, FaultKey]:
        """Map each consequence to the fault that it comes of, which is itself no consequence.

        Where several could explain it, the first one counts.

        Args:
            ordered: by `in_order`.
        """
        found: dict[FaultKey, FaultKey] = {}
        for index, effect in enumerate(ordered):
            for place, cause in enumerate(ordered):
                if effect.fault in _chain(found, cause.fault):
                    continue
                if self._explains(cause, effect) or (place < index and self._is_the_same(cause, effect)):
                    found[effect.fault] = cause.fault
                    break
        return {fault: _chain(found, fault)[-1] for fault in found}

    def simplicity(self, result: CheckResult) -> tuple[int, bool, int, int, int]:
        """What results are ordered by: the simplest has the least."""
        calls = len(self.contract.functions.called_by(result.function))
        place = self.runs.index(result.run) if result.run in self.runs else len(self.runs)
        return result.level.rank, _vague(result), calls, len(result.calls), place

    def _place(self, one: Finding) -> tuple[bool, bool, int, bool, bool, bool, int]:
        clauses, hazard = self.contract.clauses, self.contract.clauses[one.clause].hazard
        level, vague = min((result.level.rank, _vague(result)) for result in one.results)
        general = one.clause == self.contract.layouts.general
        return bool(one.known), hazard, level, vague, self._foreign(one), general, clauses.rank(one.clause)

    def _foreign(self, one: Finding) -> bool:
        """Whether a clause is about other functions than the one that breaks it."""
        about, function = self.contract.functions.of_clause.get(one.clause), one.results[0].function
        return about is not None and bool(function) and function not in about

    def _wrote(self, writer: Finding, noticer: Finding) -> bool:
        """Whether one blames a function that the other one only used: called by it, or in the same field."""
        wrote, noticed = writer.results[0], noticer.results[0]
        if wrote.function == noticed.function:
            return False
        if wrote.function in self.contract.functions.called_by(noticed.function):
            return True
        used = wrote.function in noticed.calls and noticed.function not in wrote.calls
        return used and _same_field(wrote, noticed)

    def _explains(self, cause: Finding, effect: Finding) -> bool:
        return self._may_explain(cause, effect) and all(
            any(self._accounts_for(first, then) for first in cause.results) for then in effect.results
        )

    def _is_the_same(self, one: Finding, later: Finding) -> bool:
        return self._may_explain(one, later) and all(
            any(_same_observation(first, then) for first in one.results) for then in later.results
        )

    def _may_explain(self, cause: Finding, effect: Finding) -> bool:
        if cause.clause == effect.clause or cause.known or effect.known:
            return False
        return not self.contract.clauses[effect.clause].hazard and set(effect.runs) <= set(cause.runs)

    def _accounts_for(self, cause: CheckResult, effect: CheckResult) -> bool:
        if not cause.function or Level.COMPILED in (cause.level, effect.level):
            return False
        simpler = cause.level.rank < effect.level.rank
        if effect.incidental and not cause.incidental:
            return cause.level.rank <= effect.level.rank and cause.function in effect.calls
        if cause.level is Level.DECLARATION:
            decides = effect.field in self.contract.functions.decided_by(cause.function)
            inner = (cause.function, effect.function) in self.contract.functions.nested and decides
            return inner or (simpler and (decides or _same_values(cause, effect)))
        if not _same_field(cause, effect):
            return False
        general = effect.level is cause.level and effect.clauses == (self.contract.layouts.general,)
        if (simpler or general) and cause.function == effect.function:
            return True
        not_before = cause.level.rank <= effect.level.rank
        return not_before and cause.function in effect.calls and _same_values(cause, effect)


def findings_of(evidence: Evidence, baseline: Baseline, contract: Contract) -> tuple[Finding, ...]:
    """Group violations by clause: new before known, promises before hazards, simple before involved checks.

    A finding that another one explains follows it, whatever its own place would be.
    """
    clauses, explanation = contract.clauses, CauseFinder(contract, evidence.planned_runs)
    broken = clauses.in_order(id_ for result in evidence.checks for id_ in result.broken if id_ in clauses)
    faults = [(id_, cause) for id_ in broken for cause in _causes(id_, evidence)]
    ordered = explanation.in_order(
        [_finding(clauses[id_], cause, evidence, baseline, explanation) for id_, cause in faults]
    )
    cause = explanation.causes(ordered)
    explained = [replace(one, root=cause.get(one.fault)) for one in ordered]
    return tuple(
        one
        for root in explained
        if root.root is None
        for one in (root, *(other for other in explained if other.root == root.fault))
    )


def _causes(clause: str, evidence: Evidence) -> Collection[str]:
    """What tells faults apart that break a clause, in the order in which they were seen."""
    return dict.fromkeys(result.cause for result in evidence.checks if clause in result.broken)


def _finding(
    broken: Clause, cause: str, evidence: Evidence, baseline: Baseline, explanation: CauseFinder
) -> Finding:
    seen = [result for result in evidence.checks if broken.id in result.broken and result.cause == cause]
    # New ones first: what is known of a finding is not what has to be shown of it.
    results = sorted(
        explanation.simplest_first(seen), key=lambda result: baseline.entry(broken.id, result) is not None
    )
    entry = baseline.entry(broken.id, results[0])
    looked_at = [
        result.run
        for result in evidence.checks
        if broken.id in result.clauses and result.outcome in (Outcome.PASSED, Outcome.VIOLATED)
    ]
    return Finding(
        clause=broken.id,
        title=broken.title,
        where=_where({result.run for result in results}, set(looked_at)),
        results=tuple(results),
        known=entry.reason if entry else "",
        cause=cause,
        origin=evidence.origin_of(broken.id, cause),
    )


def _where(broken: Collection[RunKey], looked_at: Collection[RunKey]) -> str:
    """Name the runs as briefly as is true: a clause may show in one profile or on one machine alone."""
    if len(looked_at) > 1 and set(broken) == set(looked_at):
        return "every run"
    for side in ("profile", "machine"):
        values = {getattr(run, side) for run in broken}
        if len(values) == 1 and len({getattr(run, side) for run in looked_at}) > 1:
            [value] = values
            if set(broken) == {run for run in looked_at if getattr(run, side) == value}:
                return f"{value} only"
    return ", ".join(sorted(map(str, broken)))


def _vague(result: CheckResult) -> bool:
    """Whether a check was broken off on its way, or can blame no function for what it saw."""
    return result.incidental or not result.function


def _same_observation(one: CheckResult, other: CheckResult) -> bool:
    """Whether the same was expected and seen of the same call; which check saw it does not matter."""
    seen, again = (
        (result.run, result.message, result.expected, result.got, result.frame, result.field)
        for result in (one, other)
    )
    return seen == again and one.function == other.function and bool(one.got)


def _same_field(cause: CheckResult, effect: CheckResult) -> bool:
    return bool(cause.field) and cause.field == effect.field


def _same_values(cause: CheckResult, effect: CheckResult) -> bool:
    """Whether the wrong value turns up again where the right one was expected, however it is written."""
    first, then = ((_number(one.expected), _number(one.got)) for one in (cause, effect))
    return all(then) and first == then


def _number(text: str) -> str:
    try:
        return str(int(text, 0))
    except ValueError:
        return text


def _chain(found: dict[FaultKey, FaultKey], fault: FaultKey) -> list[FaultKey]:
    """A fault, its cause, the cause of that and so on."""
    chain = [fault]
    while chain[-1] in found:
        chain.append(found[chain[-1]])
    return chain
