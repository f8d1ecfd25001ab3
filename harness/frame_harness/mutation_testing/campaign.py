"""Judges many mutants as one campaign, and reports it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from frame_harness.base.errors import UsageError
from frame_harness.base.record import Record
from frame_harness.campaigns.done import Lost
from frame_harness.campaigns.engine import campaign
from frame_harness.campaigns.plan import Plan, Settings
from frame_harness.contract.contract import Contract
from frame_harness.mutation.mutants import Mutant, Operator, sampled
from frame_harness.mutation_testing import explained, score
from frame_harness.mutation_testing.records import Fate, JudgedMutant, MutantReport, MutationReport
from frame_harness.mutation_testing.reference import Reference

LIMIT_S: Final = 900.0
"""Of CPU time for one mutant: a survivor goes through every check."""


@dataclass(frozen=True)
class Choice:
    """Which mutants of a subject are judged.

    Attributes:
        functions: patterns of the shell's kind, such as `MetaSlot::*`; empty for all.
        operators: empty for all.
        sample: so many of these, evenly over operators and functions; None for all.
        seed: of the sample.
    """

    functions: tuple[str, ...] = ()
    operators: tuple[Operator, ...] = ()
    sample: int | None = None
    seed: int = 1

    @property
    def words(self) -> str:
        """What was chosen; empty for all."""
        parts = [f"functions {', '.join(self.functions)}"] if self.functions else []
        parts += [f"operators {', '.join(self.operators)}"] if self.operators else []
        parts += [f"a sample of {self.sample}, seed {self.seed}"] if self.sample else []
        return "; ".join(parts)

    def of(self, mutants: Sequence[Mutant]) -> list[Mutant]:
        """Return those that are chosen.

        Raises:
            UsageError: none is.
        """
        found = [one for one in mutants if self._takes(one)]
        if not found:
            raise UsageError(
                "mutants", self.words or "all", expected="at least one", actual="none",
                next_step="choose other functions or operators; `mutate --list` lists all mutants",
            )  # fmt: skip
        return found if self.sample is None else sampled(found, self.sample, self.seed)

    def _takes(self, one: Mutant) -> bool:
        named = not self.functions or any(fnmatchcase(one.function, each) for each in self.functions)
        return named and (not self.operators or one.operator in self.operators)


@dataclass(frozen=True)
class Ground:
    """What mutants are made of and judged by.

    Attributes:
        texts: the files that mutants are made of, by name.
        reference: what the checks say of the subject itself.
        work: judges a task, on any machine.
        task: makes one of a mutant; is told whether one run is enough.
        identity: a digest of all that a result depends on.
        files: that a task asks for.
        reference_s: how long the subject's own judgement took just now; 0 where it was kept.
    """

    texts: Mapping[str, bytes]
    reference: Reference
    contract: Contract
    work: Callable[[Any], JudgedMutant]
    task: Callable[[Mutant, bool], Record]
    identity: str
    files: tuple[Path, ...]
    reference_s: float = 0.0


@dataclass
class Course:
    """A campaign that is under way: what came of it so far."""

    ground: Ground
    chosen: Sequence[Mutant]
    made: Sequence[Mutant]
    choice: Choice
    on_report: Callable[[MutantReport], None]
    reasons: Mapping[str, explained.SurvivorExplanation] = field(default_factory=dict)
    """Why mutants may survive, by their keys."""
    every_run: bool = False
    """Judge mutants with a reason in every run, as all others."""
    reports: dict[str, MutantReport] = field(default_factory=dict)
    interrupted: bool = False
    """It was stopped, or broke off: of the chosen ones some are missing."""
    _began: float = field(default_factory=time.monotonic)
    _brief: frozenset[str] = frozenset()
    """The keys of those that are judged in one run."""

    def run(self, settings: Settings) -> None:
        """Judge them all, as many at once as there are workers; what came until Ctrl-C is kept.

        Raises:
            HarnessError: there are no workers, or the folder of results cannot be used.
        """
        try:
            self._judge_all(settings)
        except KeyboardInterrupt:
            self.interrupted = True
        except BaseException:  # what came so far is reported, if anything did, before this is told
            self.interrupted = bool(self.reports)
            raise

    def _judge_all(self, settings: Settings) -> None:
        plan: Plan[Any, JudgedMutant] = Plan(
            name="mutate", work=self.ground.work, result=JudgedMutant, identity=self.ground.identity,
            files=self.ground.files, limit_s=LIMIT_S, is_finding=_survived, is_final=self._is_final,
        )  # fmt: skip
        by_key = {one.key: one for one in self.chosen}
        self._brief = frozenset(one.key for one in self.chosen if self._in_one_run(one))
        with campaign(plan, settings) as running:
            for one in self.chosen:
                task = self.ground.task(one, self._in_one_run(one))
                running.submit(one.key, task, needs_compiler=True)
            for done in running.results():
                self._take(by_key[done.key], done.result)

    def _take(self, mutant: Mutant, result: JudgedMutant | Lost) -> None:
        if isinstance(result, Lost):
            result = JudgedMutant(key=mutant.key, fate=Fate.ERROR, why=result.words)
        ground = self.ground
        reason = self._reason(mutant)
        report = score.reported(mutant, result, ground.texts, ground.reference, ground.contract, reason)
        self.reports[mutant.key] = report
        self.on_report(report)

    def _reason(self, mutant: Mutant) -> explained.SurvivorExplanation | None:
        return explained.reason_for(mutant, self.reasons)

    def _in_one_run(self, mutant: Mutant) -> bool:
        return not self.every_run and self._reason(mutant) is not None

    def _is_final(self, result: JudgedMutant) -> bool:
        """Whether it says all that is asked of a mutant.

        A full disk or a killed QEMU may be over next time, and a reason that made one run enough be gone.
        """
        if result.fate is Fate.ERROR:
            return False
        return result.every_run or result.key in self._brief

    def report(self) -> MutationReport:
        """Return what came of it, mutants in the order of the text."""
        reports = tuple(self.reports[one.key] for one in self.chosen if one.key in self.reports)
        reference, total = self.ground.reference, score.share("all", reports)
        return MutationReport(
            subject=reference.subject,
            generated=len(self.made),
            selection=self.choice.words,
            runs=reference.runs,
            score=total.score,
            total=total,
            by_operator=score.by_operator(reports),
            by_function=score.by_function(reports),
            mutants=reports,
            interrupted=self.interrupted,
            cpu_s=sum(one.judged.cpu_s for one in reports),
            duration_s=time.monotonic() - self._began,
            reference_s=self.ground.reference_s,
            own_findings=reference.own_findings,
            idle_reasons=explained.idle(self.reasons, self.made, self._may_survive()),
        )

    def _may_survive(self) -> frozenset[str]:
        """The keys of survivors, and of mutants that were not judged."""
        ended = {key for key, one in self.reports.items() if one.judged.fate not in _MAY_SURVIVE}
        return frozenset(one.key for one in self.made) - ended


_MAY_SURVIVE: Final = (Fate.SURVIVED, Fate.ERROR)
"""How a mutant ends that no check was seen to reject."""


def _survived(result: JudgedMutant) -> bool:
    return result.fate is Fate.SURVIVED
