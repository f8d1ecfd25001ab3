"""The storms: what several CPUs do to frames at the same time, with what must be true afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn, pfn_to_paddr
from frame_harness.concurrency.smp import Cpus, Job, ProgramResult, generation_growth, generations
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.functions import ALLOCATE, FUNCTIONS
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.guest.checks import ClauseViolated, OtherClauseViolated, expect
from frame_harness.guest.errors import SubjectPanic
from frame_harness.guest.kernel import Kernel
from frame_harness.judge.diagrams import StormMoment, StormRates

UNUSED: Final = C.refcount_unused
COW, DLL, POISONED_FLAG = C.flag_cow, C.flag_dll, C.flag_poisoned
POISONED_GUARD: Final = C.guard_poisoned
LIVE: Final = C.flag_allocated | C.flag_kernel
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
        if context.kernel.image.has("MetaSlot.generation"):
            context.generations = generations(context.kernel)
        outcome = context.cpus.run(jobs, seconds=min(seconds * tries, longest_s))
        rounds = outcome.total("rounds")
        if outcome.violations or not storm.in_rounds or rounds >= LEAST_ROUNDS:
            return outcome
    raise HarnessError("storm", storm.name, expected=f"{LEAST_ROUNDS} rounds", actual=str(rounds))


def _expect_sound(storm: Storm, context: StormContext) -> None:
    kernel, outcome = context.kernel, context.outcome
    if context.generations is not None:
        growth = generation_growth(kernel, context.generations)
        began = "generations that began, over all frames"
        expect(began, growth, outcome.total("allocated"), field="generation", function=ALLOCATE)
    for index, paddr in enumerate(context.frames):
        # In RAM: not every version of a module has methods, or fields, for it.
        for name, value in (("refcount", 1), ("guard", 0)):
            if name in (context.slot(index).dtype.names or ()):
                context.slot(index)[name] = value
        kernel.release(paddr)
    kernel.call("buddy.drain")
    report = INVARIANTS.check_all(kernel.state())
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
            keeper = FUNCTIONS.keeper_of(first.field)
            raise OtherClauseViolated(broken[0], what, field=first.field, function=keeper, **facts)
        keeper = FUNCTIONS.keeper_of(field)
        raise ClauseViolated(what, exhibit=report.text, field=field, function=keeper, **facts)
    now = kernel.free_blocks()
    expect("blocks missing from the free lists", sorted(context.free_blocks - now)[:5], [])
    expect("blocks that were not there at first", sorted(now - context.free_blocks)[:5], [])


def _all_released(context: StormContext) -> None:
    outcome = context.outcome
    expect("frames given back", outcome.total("released"), outcome.total("allocated"))


def _balanced(context: StormContext) -> Jobs:
    return context.everyone("inc@0", "inc@1~8", "dec@0", "dec@1~8")


def _balance_kept(context: StormContext) -> None:
    outcome = context.outcome
    for index, paddr in enumerate(context.frames):
        what = f"reference count after {outcome.steps // 2} balanced pairs on {len(outcome.counters)} cpus"
        expect(what, int(context.slot(index)["refcount"]), 1, frame=paddr, field="refcount")


def _claims(context: StormContext) -> Jobs:
    context.kernel.slot(context.frames[0]).set_refcount(UNUSED)
    return context.everyone("own@0~4")


def _rounds(context: StormContext, reset: int, step: str) -> Jobs:
    context.kernel.slot(context.frames[0]).set_refcount(reset)
    jobs = context.everyone("barrier", step, "barrier")
    first = jobs[0]
    return {**jobs, 0: Job((*first.steps, "tally=1", f"set@0={reset:#x}"), seed=first.seed)}


def _claim_rounds(context: StormContext) -> Jobs:
    return _rounds(context, UNUSED, "claim@0~4")


def _last_references(context: StormContext) -> Jobs:
    return _rounds(context, context.cpus.count, "dec@0~4")


def _hooks(context: StormContext) -> Jobs:
    return context.everyone("alloc", "hook", "alloc.user", "hook", "drop", "drop")


def _poisoning(context: StormContext) -> Jobs:
    kernel, frame = context.kernel, context.frames[0]
    kernel.slot(frame).set_flags(LIVE)
    kernel.slot(frame).set_guard(0)
    writers = context.everyone("or@0=0x1~4", "has@0=0x1", "andnot@0=0x1~4", "hasnot@0=0x1")
    # One flag bit a writer: what it finds there is nobody else's doing.
    jobs = {
        cpu: Job(
            tuple(step.replace("=0x1", f"={1 << (cpu - 1) % 3:#x}") for step in job.steps), seed=job.seed
        )
        for cpu, job in writers.items()
    }
    poisoner = ("poison@0", f"has@0={POISONED_FLAG:#x}", f"andnot@0={POISONED_FLAG:#x}", "heal@0")
    return {**jobs, 0: Job(poisoner, seed=context.seed)}


def _flags_as_before(context: StormContext) -> None:
    slot = context.slot(0)
    found = (int(slot["flags"]), int(slot["guard"]))
    expect("flags and guard when all is undone", found, (LIVE, 0), base=16, frame=context.frames[0])


def _lives(context: StormContext) -> Jobs:
    kernel = context.kernel
    paddr = kernel.alloc(zeroed=False)
    kernel.release(paddr)  # on top of this CPU's cache: every life is its
    context.cpus.frames([paddr])
    parity = int(kernel.slots()[paddr_to_pfn(paddr)]["generation"]) + 1 & 1
    mortal = (f"alloc.custom={COW:#x}", "drop", f"alloc.custom={DLL:#x}", "drop")
    return {**context.everyone(f"life@0={parity}"), 0: Job(mortal, seed=context.seed)}


def _hooks_called(context: StormContext) -> None:
    outcome = context.outcome
    released = outcome.total("released")
    calls = (outcome.total("on_last_ref"), outcome.total("on_unmap"))
    expect("calls of (on_last_ref, on_unmap)", calls, (released, released))
    _all_released(context)


def _churn(order: int, delay: int = 0) -> Callable[[StormContext], Jobs]:
    return lambda context: context.everyone(f"churn={order}~{delay}")


STORMS: Final = {
    storm.name: storm
    for storm in (
        Storm("balanced references", ("REF-04",), _balanced, frames=2, judge=_balance_kept),
        Storm("claims", ("REF-05",), _claims, frames=1),
        Storm("claim rounds", ("REF-05",), _claim_rounds, frames=1, in_rounds=True),
        Storm("last references", ("REF-06",), _last_references, frames=1, in_rounds=True),
        Storm("frames and blocks", ("ALLOC-14",), _churn(3)),
        Storm("single frames", ("GEN-05",), _churn(0), judge=_all_released),
        Storm("large blocks", ("FREE-03", "FREE-04", "FREE-05", "FREE-06"), _churn(9, delay=16)),
        Storm("hooks", ("VT-05",), _hooks, judge=_hooks_called),
        Storm("poison", ("GUARD-09",), _poisoning, frames=1, judge=_flags_as_before),
        Storm("lives", ("ALLOC-16",), _lives, judge=_all_released),
    )
}
