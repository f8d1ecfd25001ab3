"""What becomes of mutants, as values."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from frame_harness.base.record import Count, Record, Seconds
from frame_harness.base.text import plural
from frame_harness.judge.evidence import RunKey, SubjectInfo
from frame_harness.mutation.mutants import Mutant

SCHEMA = 1
"""Fields are only ever added; a change of meaning raises it."""


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"  # the same machine code and the same memory orderings as the subject
    NOT_LINKED = "not-linked"  # of a function of which the kernel has no code: nothing can be said of it
    DOES_NOT_COMPILE = "does-not-compile"
    ERROR = "error"  # the harness went wrong: neither killed nor survived


class How(StrEnum):
    """By what a mutant is told from the subject."""

    FINDING = "finding"
    CRASH = "crash"
    HANG = "hang"
    NO_PASS = "no-pass"  # no check is broken, but a run of it cannot be believed, or a clause not be judged


class Kill(Record, frozen=True, kw_only=True):
    """The first outcome that differs from the subject's own.

    `case` is that of a memory core, as `--case` takes it. `by_storm` says that a check or case found it in
    which CPUs run freely, so that the next time it may find something else.
    """

    how: How
    run: RunKey | None = None
    check: str = ""
    clauses: tuple[str, ...] = ()
    message: str = ""
    expected: str = ""
    got: str = ""
    case: str = ""
    by_storm: bool = False


class JudgedMutant(Record, frozen=True, kw_only=True):
    """What became of one mutant.

    `why` says it of one that is neither killed nor survived. `checks` counts those that were made, `cpu_s` is
    the CPU time of all processes that worked on it, `build_cpu_s` that part of it which went into builds.
    `every_run` is false of a survivor that was judged in one run, as those with a reason are.
    """

    key: str
    fate: Fate
    kill: Kill | None = None
    why: str = ""
    checks: Count = 0
    cpu_s: Seconds = 0.0
    build_cpu_s: Seconds = 0.0
    every_run: bool = True


class Clue(Record, frozen=True, kw_only=True):
    """A clause that should have noticed a survivor, with its words and the checks of it that run the line."""

    clause: str
    title: str
    checks: tuple[str, ...] = ()


class MutantReport(Record, frozen=True, kw_only=True):
    """A mutant with what became of it.

    `clues`, `reached_by` and the reason `explained` are a survivor's. `equivalent` says that its
    owner holds it for one that nothing can tell from the subject.
    """

    mutant: Mutant
    judged: JudgedMutant
    diff: str
    clues: tuple[Clue, ...] = ()
    reached_by: Count = 0
    explained: str = ""
    equivalent: bool = False

    @property
    def fate(self) -> Fate:
        """How the score counts it: equivalent where that is known, else as it was judged."""
        return Fate.EQUIVALENT if self.equivalent else self.judged.fate

    @property
    def reached(self) -> str:
        """How many checks run a survivor, as far as is known, and how many were made."""
        by = f"by {plural(self.reached_by, 'check')}" if self.reached_by else "by an unknown number of checks"
        return f"{by}; {self.judged.checks} made in all"


class Share(Record, frozen=True, kw_only=True):
    """How mutants of one kind, such as of an operator, fared."""

    name: str
    killed: Count
    survived: Count
    equivalent: Count = 0
    not_linked: Count = 0
    does_not_compile: Count = 0
    errors: Count = 0

    @property
    def score(self) -> float | None:
        """Which part of those that are not equivalent was killed; None of none."""
        judged = self.killed + self.survived
        return self.killed / judged if judged else None


class MutationReport(Record, frozen=True, kw_only=True):
    """A campaign of mutants.

    `generated` counts all mutants of the subject, of which those in `mutants` were judged. `selection` says
    in words which were chosen. `runs` are those that a survivor survived. `score` is that of `total`. `cpu_s`
    is the CPU time for all of them, `duration_s` the time that passed.
    """

    schema: int = SCHEMA
    subject: SubjectInfo
    generated: Count
    selection: str
    runs: tuple[RunKey, ...]
    score: float | None
    total: Share
    by_operator: tuple[Share, ...]
    by_function: tuple[Share, ...]
    mutants: tuple[MutantReport, ...]
    interrupted: bool = False
    cpu_s: Seconds = 0.0
    duration_s: Seconds = 0.0
    reference_s: Seconds = 0.0
    own_findings: tuple[str, ...] = msgspec.field(default_factory=tuple)
    """Clauses that the subject itself breaks."""
    idle_reasons: tuple[str, ...] = msgspec.field(default_factory=tuple)
    """Reasons that no survivor needs, each with why."""

    @property
    def is_good(self) -> bool:
        """Whether some mutant was judged and each was killed, and none is missing."""
        return self.score == 1.0 and not self.total.errors and not self.interrupted

    @property
    def unexplained(self) -> tuple[MutantReport, ...]:
        """Survivors without a reason."""
        return tuple(one for one in self.of(Fate.SURVIVED) if not one.explained)

    def of(self, fate: Fate) -> tuple[MutantReport, ...]:
        """The mutants that count as of one fate."""
        return tuple(one for one in self.mutants if one.fate is fate)

    @property
    def of_one_run(self) -> int:
        """How many mutants with a reason survived one run, and were not judged in others."""
        return sum(not one.judged.every_run for one in self.mutants)

    @property
    def explained_equivalents(self) -> tuple[MutantReport, ...]:
        """Survivors of which only a reason says that they are equivalent."""
        return tuple(one for one in self.mutants if one.equivalent)
