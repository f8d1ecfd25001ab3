"""Runs storms: what several CPUs do to frames at the same time, with what must be true afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn, pfn_to_paddr
from frame_harness.concurrency.smp import Cpus, Job, ProgramResult, generation_growth, generations
from frame_harness.guest.checks import ClauseViolated, OtherClauseViolated, expect
from frame_harness.guest.errors import SubjectPanic
from frame_harness.guest.kernel import Kernel
from frame_harness.judge.diagrams import StormMoment, StormRates

LEAST_ROUNDS: Final = 20
"""Of a storm whose CPUs meet at a barrier; on a busy host they rarely run at the same time."""
MOST_TRIES: Final = 50

Jobs = dict[int, Job]


@dataclass
class StormContext:
    """One guest in a storm: what was there before, what the storm needs."""

    kernel: Kernel
    cpus: Cpus
    seed: int = 1
    frames: list[Paddr] = field(default_factory=list)
    free_blocks: set[tuple[Pfn, int, str]] = field(default_factory=set)
    generations: Any = None
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
class Storm:
    """One kind of storm.

    Attributes:
        clauses: what it settles.
        ready: readies the frames; the jobs come from it.
        frames: how many frames it needs, that all CPUs know.
        judge: looks at what is left, beside what every storm must leave.
        in_rounds: the CPUs meet at barriers; `rounds` counts how often.
    """

    name: str
    clauses: tuple[str, ...]
    ready: Callable[[StormContext], Jobs]
    frames: int = 0
    judge: Callable[[StormContext], None] | None = None
    in_rounds: bool = False


def run_storm(
    storm: Storm,
    kernel: Kernel,
    *,
    seconds: float,
    seed: int = 1,
    seen: Callable[[ProgramResult], None] | None = None,
) -> ProgramResult:
    """Run a storm and judge it; all of memory must be as sound afterwards, with the same blocks free.

    Args:
        seconds: of wall-clock time; what was done by then is judged.
        seen: is given what was done before it is judged, so that a storm that breaks something counts, too.
    Raises:
        ClauseViolated, SubjectPanic: the subject violated a clause or panicked.
        HarnessError: inconclusive: the CPUs never ran at the same time.
    """
    context = StormContext(kernel, Cpus(kernel), seed)
    kernel.call("buddy.drain")
    context.free_blocks = kernel.free_blocks()
    context.frames = [kernel.alloc(zeroed=False) for _ in range(storm.frames)]
    if context.frames:
        context.cpus.frames(context.frames)
    try:
        context.outcome = _run_until_done(storm, context, seconds)
        if seen is not None:
            seen(context.outcome)
        context.outcome.expect_none(storm.name)
        if storm.judge is not None:
            storm.judge(context)
        _expect_sound(storm, context)
    except (ClauseViolated, SubjectPanic) as error:
        error.diagram = context.rates(storm.name)
        raise
    return context.outcome


def _run_until_done(storm: Storm, context: StormContext, seconds: float) -> ProgramResult:
    # Half of the CPU time that a request may use, should all CPUs run all the time.
    longest_s = context.kernel.machine.limits.request_cpu_s / 2 / context.cpus.count
    for tries in range(1, MOST_TRIES):
        jobs = storm.ready(context)
        if context.kernel.image.has(f"{context.kernel.image.subject.contract.slot.name}.generation"):
            context.generations = generations(context.kernel)
        outcome = context.cpus.run(jobs, seconds=min(seconds * tries, longest_s))
        rounds = outcome.total("rounds")
        if outcome.violations or not storm.in_rounds or rounds >= LEAST_ROUNDS:
            return outcome
    raise HarnessError("storm", storm.name, expected=f"{LEAST_ROUNDS} rounds", actual=str(rounds))


def _expect_sound(storm: Storm, context: StormContext) -> None:
    kernel, outcome = context.kernel, context.outcome
    contract = kernel.image.subject.contract
    if context.generations is not None:
        growth = generation_growth(kernel, context.generations)
        began = "generations that began, over all frames"
        function = contract.functions.allocates
        expect(began, growth, outcome.total("allocated"), field="generation", function=function)
    for index, paddr in enumerate(context.frames):
        # In RAM: not every version of a module has methods, or fields, for it.
        for name, value in (("refcount", 1), ("guard", 0)):
            if name in (context.slot(index).dtype.names or ()):
                context.slot(index)[name] = value
        kernel.release(paddr)
    kernel.call("buddy.drain")
    report = contract.invariants.check_all(kernel.state())
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
    now = kernel.free_blocks()
    expect("blocks missing from the free lists", sorted(context.free_blocks - now)[:5], [])
    expect("blocks that were not there at first", sorted(now - context.free_blocks)[:5], [])
