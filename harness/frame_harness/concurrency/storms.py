"""Runs storms: what several CPUs do to frames at the same time, with what must be true afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr, paddr_to_pfn, pfn_to_paddr
from frame_harness.concurrency.smp import Cpus, Job, ProgramResult
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.checks import ClauseViolated, OtherClauseViolated
from frame_harness.guest.errors import SubjectPanic
from frame_harness.judge.diagrams import StormMoment, StormRates

LEAST_ROUNDS: Final = 20
"""The least that a storm has to do: meetings of its CPUs at a barrier or, in a storm without barriers,
iterations of each CPU."""
MOST_TRIES: Final = 50
"""Runs of a storm of which none was enough; each is longer than the one before, up to what a request may
use."""

G = TypeVar("G", bound=BootedGuest)
Jobs = dict[int, Job]


class StormMemory(Protocol):
    """What one guest has that a storm is about: how frames are had, what must be as before."""

    def take(self, count: int) -> Sequence[Paddr]:
        """Note what is free; return so many frames that all CPUs are to know."""

    def begin(self) -> None:
        """Note what is counted; called ahead of each run."""

    def end(self, outcome: ProgramResult, frames: Sequence[Paddr]) -> None:
        """Require that what is counted is what the last run did; give the frames back, whatever they hold."""

    def state(self) -> Any:
        """The state that the invariants of the contract judge."""

    def expect_as_before(self) -> None:
        """Require that what was free is free again, and nothing else."""


@dataclass
class StormContext(Generic[G]):
    """One guest in a storm: what the storm needs, what came of it."""

    kernel: G
    cpus: Cpus
    seed: int = 1
    frames: Sequence[Paddr] = ()
    outcome: ProgramResult = field(default_factory=lambda: ProgramResult({}, (), 0.0))

    def everyone(self, *steps: str) -> Jobs:
        """The same program for all, each with its own random numbers."""
        return {cpu: Job(steps, seed=self.seed * 64 + cpu) for cpu in range(self.cpus.count)}

    def rates(self, name: str) -> StormRates | None:
        """How fast the last run went; None where it was over before anybody looked."""
        samples = self.cpus.samples
        if not samples:
            return None
        wrong = tuple(
            StormMoment(cpu=one.cpu, at_s=one.share * samples[-1].at_s, what=one.describe())
            for one in self.outcome.violations
        )
        return StormRates(storm=name, cpus=tuple(range(self.cpus.count)), samples=samples, wrong=wrong)

    def slot(self, index: int) -> Any:
        """The slot of a frame that the storm has named, live in guest RAM."""
        return self.kernel.slots()[paddr_to_pfn(self.frames[index])]


@dataclass(frozen=True)
class Storm(Generic[G]):
    """One kind of storm."""

    name: str
    clauses: tuple[str, ...]
    """What it settles."""
    memory: Callable[[G], StormMemory]
    """Of a guest, what the storm is about in it."""
    ready: Callable[[StormContext[G]], Jobs]
    """Readies the frames; the jobs come from it."""
    frames: int = 0
    """How many frames it needs, that all CPUs know."""
    judge: Callable[[StormContext[G]], None] | None = None
    """Looks at what is left, beside what every storm must leave."""
    in_rounds: bool = False
    """The CPUs meet at barriers; `rounds` counts how often."""


def run_storm(
    storm: Storm[G],
    kernel: G,
    *,
    seconds: float,
    seed: int = 1,
    seen: Callable[[ProgramResult], None] | None = None,
) -> ProgramResult:
    """Run a storm and judge it; all of memory must be as sound afterwards, with the same blocks free.

    Where its CPUs hardly ran at the same time it is run again. Only the last run's counters are judged; what
    is left in memory is that of all.

    Args:
        seconds: of wall-clock time; what was done by then is judged.
        seen: is given what was done before it is judged, so that a storm that breaks something counts, too.
    Raises:
        ClauseViolated, SubjectPanic: the subject violated a clause or panicked.
        HarnessError: inconclusive: the CPUs never ran at the same time, or hardly ran at all.
    """
    context, memory = StormContext(kernel, Cpus(kernel), seed), storm.memory(kernel)
    context.frames = memory.take(storm.frames)
    if context.frames:
        context.cpus.frames(context.frames)
    try:
        context.outcome = _run_until_done(storm, context, memory, seconds)
        if seen is not None:
            seen(context.outcome)
        context.outcome.expect_none(storm.name)
        if storm.judge is not None:
            storm.judge(context)
        memory.end(context.outcome, context.frames)
        _expect_sound(storm, context, memory.state())
        memory.expect_as_before()
    except (ClauseViolated, SubjectPanic) as error:
        error.diagram = context.rates(storm.name)
        raise
    return context.outcome


def _run_until_done(
    storm: Storm[G], context: StormContext[G], memory: StormMemory, seconds: float
) -> ProgramResult:
    # Half of the CPU time that a request may use, should all CPUs run all the time.
    longest_s = context.kernel.machine.limits.request_cpu_s / 2 / context.cpus.count
    for tries in range(1, MOST_TRIES + 1):
        jobs = storm.ready(context)
        memory.begin()
        outcome = context.cpus.run(jobs, seconds=min(seconds * tries, longest_s))
        rounds = outcome.total("rounds") if storm.in_rounds else outcome.least("iterations")
        if outcome.violations or (outcome.at_once and rounds >= LEAST_ROUNDS):
            return outcome
    expected = f"{LEAST_ROUNDS} {'rounds' if storm.in_rounds else 'iterations of each CPU'}"
    actual = str(rounds)
    if not outcome.at_once:
        expected, actual = "CPUs that run at the same time", "one that began when another had ended"
    raise HarnessError(
        "storm", storm.name, expected=expected, actual=actual, next_step="run it again on a less busy host"
    )


def _expect_sound(storm: Storm[G], context: StormContext[G], state: Any) -> None:
    contract, outcome = context.kernel.image.subject.contract, context.outcome
    report = contract.invariants.check_all(state)
    if report.violated:
        violations = [violation for result in report for violation in result.violations]
        fields = {violation.field for violation in violations}
        first = violations[0]
        field = first.field if len(fields) == 1 else ""
        what = f"memory after {outcome.steps} steps of a storm: {', '.join(sorted(report.violated))}"
        broken = [clause for result in report if result.total for clause in result.clauses]
        facts: dict[str, Any] = {
            "expected": first.expected, "got": first.got,
            "frame": None if first.pfn is None else pfn_to_paddr(first.pfn),
        }  # fmt: skip
        if set(broken).isdisjoint(storm.clauses):
            # The first invariant is the most basic one; what else does not hold may follow from it.
            keeper = contract.functions.keeper_of(first.field)
            raise OtherClauseViolated(broken[0], what, field=first.field, function=keeper, **facts)
        keeper = contract.functions.keeper_of(field)
        raise ClauseViolated(what, exhibit=report.text, field=field, function=keeper, **facts)
