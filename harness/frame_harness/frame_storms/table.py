"""The storms that a frame module has to stand, each with the clauses that it settles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn
from frame_harness.concurrency.smp import Job, ProgramResult
from frame_harness.concurrency.storms import Jobs, Storm, StormContext
from frame_harness.frame_guest.hooks import HookRecord
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.functions import ALLOCATE
from frame_harness.frame_metadata.memory_state import MemoryState
from frame_harness.guest.checks import OtherClauseViolated, expect


class FrameMemory:
    """Frames of one guest in a storm; the caches of its CPUs are emptied before anything is compared."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._free: set[tuple[Pfn, int, str]] = set()
        self._generations: Any = None

    def take(self, count: int) -> list[Paddr]:
        """Note which blocks are free, then allocate frames."""
        self._kernel.call("buddy.drain")
        self._free = self._kernel.free_blocks()
        return [self._kernel.alloc(zeroed=False) for _ in range(count)]

    def begin(self) -> None:
        """Note the generation of every frame, where this version of a module has generations."""
        if self._kernel.image.has(f"{FRAME_METADATA.slot.name}.generation"):
            self._generations = self._kernel.slots()["generation"].copy()

    def end(self, outcome: ProgramResult, frames: Sequence[Paddr]) -> None:
        """Require one new generation for each allocation that the CPUs counted; give the frames back."""
        if self._generations is not None:
            what = "generations that began, over all frames"
            growth = growth_of(self._generations, self._kernel.slots()["generation"])
            function = FRAME_METADATA.functions.allocates
            expect(what, growth, outcome.total("allocated"), field="generation", function=function)
        self.give_back(frames)

    def give_back(self, frames: Sequence[Paddr]) -> None:
        """Release frames, whatever became of their counts; empty the caches."""
        slots = self._kernel.slots()
        for paddr in frames:
            # In RAM: not every version of a module has methods, or fields, for it.
            for name, value in (("refcount", 1), ("guard", 0)):
                if name in (slots.dtype.names or ()):
                    slots[paddr_to_pfn(paddr)][name] = value
            self._kernel.release(paddr)
        self._kernel.call("buddy.drain")

    def state(self) -> MemoryState:
        """The whole bookkeeping of memory."""
        return self._kernel.state()

    def expect_as_before(self) -> None:
        """Require that the blocks which were free at first are free, and no others."""
        now = self._kernel.free_blocks()
        expect("blocks missing from the free lists", sorted(self._free - now)[:5], [])
        expect("blocks that were not there at first", sorted(now - self._free)[:5], [])


def growth_of(before: Any, now: Any) -> int:
    """How many lives began between two looks at all generations, shape (n_frames,); generations wrap."""
    return int((now - before).astype("<u4").sum(dtype="<u8"))


FrameStorm = Storm[Kernel]
Context = StormContext[Kernel]

UNUSED: Final = C.refcount_unused
COW, DLL, POISONED_FLAG = C.flag_cow, C.flag_dll, C.flag_poisoned
TURNS: Final = ("on_last_ref", "on_unmap", "buddy")
"""In the order in which a released frame comes to them."""
LIVE: Final = C.flag_allocated | C.flag_kernel


def _all_served(context: Context) -> None:
    """Of storms that hold a small part of memory: each request was served, each frame given back."""
    outcome = context.outcome
    if refused := outcome.total("out_of_memory"):
        asked = refused + outcome.total("allocated")
        raise OtherClauseViolated(
            "ALLOC-11", f"requests that got no frame while there were some, of {asked}", expected="0",
            got=str(refused), function=ALLOCATE,
        )  # fmt: skip
    expect("frames given back", outcome.total("released"), outcome.total("allocated"))


def _balanced(context: Context) -> Jobs:
    return context.everyone("inc@0", "inc@1~8", "dec@0", "dec@1~8")


def _balance_kept(context: Context) -> None:
    outcome = context.outcome
    for index, paddr in enumerate(context.frames):
        what = f"reference count after {outcome.steps // 2} balanced pairs on {len(outcome.counters)} cpus"
        expect(what, int(context.slot(index)["refcount"]), 1, frame=paddr, field="refcount")


def _claims(context: Context) -> Jobs:
    context.kernel.slot(context.frames[0]).set_refcount(UNUSED)
    return context.everyone("own@0~4")


def _rounds(context: Context, reset: int, step: str) -> Jobs:
    context.kernel.slot(context.frames[0]).set_refcount(reset)
    jobs = context.everyone("barrier", step, "barrier")
    first = jobs[0]
    return {**jobs, 0: Job((*first.steps, "tally=1", f"set@0={reset:#x}"), seed=first.seed)}


def _claim_rounds(context: Context) -> Jobs:
    return _rounds(context, UNUSED, "claim@0~4")


def _last_references(context: Context) -> Jobs:
    return _rounds(context, context.cpus.count, "dec@0~4")


def _hooks(context: Context) -> Jobs:
    context.kernel.call("vt.clear")
    return context.everyone("alloc", "hook", "alloc.user", "hook", "drop", "drop")


def _poisoning(context: Context) -> Jobs:
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


def _flags_as_before(context: Context) -> None:
    slot = context.slot(0)
    found = (int(slot["flags"]), int(slot["guard"]))
    expect("flags and guard when all is undone", found, (LIVE, 0), base=16, frame=context.frames[0])


def _lives(context: Context) -> Jobs:
    kernel = context.kernel
    paddr = kernel.alloc(zeroed=False)
    kernel.release(paddr)  # on top of this CPU's cache: every life is its
    context.cpus.frames([paddr])
    parity = int(kernel.slots()[paddr_to_pfn(paddr)]["generation"]) + 1 & 1
    mortal = (f"alloc.custom={COW:#x}", "drop", f"alloc.custom={DLL:#x}", "drop")
    return {**context.everyone(f"life@0={parity}"), 0: Job(mortal, seed=context.seed)}


def _zeroed(context: Context) -> Jobs:
    return context.everyone("alloc.zeroed", "clean", "alloc.zeroed", "clean", "drop", "drop")


def _flagged(context: Context) -> Jobs:
    """Each CPU asks for flags of its own: those of another CPU are seen."""
    jobs = context.everyone("alloc.custom={flags:#x}", "flagged={got:#x}", "drop")
    return {
        cpu: Job(
            tuple(step.format(flags=cpu + 1, got=C.flag_allocated | cpu + 1) for step in job.steps),
            seed=job.seed,
        )
        for cpu, job in jobs.items()
    }


def _hooks_called(context: Context) -> None:
    outcome = context.outcome
    released = outcome.total("released")
    calls = (outcome.total("on_last_ref"), outcome.total("on_unmap"))
    expect("calls of (on_last_ref, on_unmap)", calls, (released, released))
    _expect_own_addresses(context)
    _all_served(context)


def _expect_own_addresses(context: Context) -> None:
    """Of the first releases, as many as there is room for: each frame comes to its own stops in turn."""
    turns = dict(zip(TURNS, (*TURNS[1:], TURNS[0]), strict=True))
    due: dict[Paddr, str] = {}
    for stop, paddr in HookRecord(context.kernel).events():
        wanted = due.get(paddr, TURNS[0])
        function = f"invoke_vtable_{wanted if stop == TURNS[-1] else stop}"
        what = f"stop of frame {paddr:#x} on its way back"
        expect(what, stop, wanted, frame=paddr, function=function)
        due[paddr] = turns[stop]


def _churn(order: int, delay: int = 0) -> Callable[[Context], Jobs]:
    return lambda context: context.everyone(f"churn={order}~{delay}")


def _storm(
    name: str,
    clauses: tuple[str, ...],
    ready: Callable[[Context], Jobs],
    judge: Callable[[Context], None] | None = None,
    *,
    frames: int = 0,
    in_rounds: bool = False,
) -> FrameStorm:
    return Storm(name, clauses, FrameMemory, ready, frames, judge, in_rounds)


STORMS: Final = {
    storm.name: storm
    for storm in (
        _storm("balanced references", ("REF-04",), _balanced, frames=2, judge=_balance_kept),
        _storm("claims", ("REF-05",), _claims, frames=1),
        _storm("claim rounds", ("REF-05",), _claim_rounds, frames=1, in_rounds=True),
        _storm("last references", ("REF-06",), _last_references, frames=1, in_rounds=True),
        _storm("frames and blocks", ("ALLOC-14",), _churn(3)),
        _storm("single frames", ("GEN-05",), _churn(0), judge=_all_served),
        _storm("zeroed frames", ("ALLOC-04",), _zeroed, judge=_all_served),
        _storm("own flags", ("ALLOC-02",), _flagged, judge=_all_served),
        _storm("large blocks", ("FREE-03", "FREE-04", "FREE-05", "FREE-06"), _churn(9, delay=16)),
        _storm("hooks", ("VT-05",), _hooks, judge=_hooks_called),
        _storm("poison", ("GUARD-09",), _poisoning, frames=1, judge=_flags_as_before),
        _storm("lives", ("ALLOC-16",), _lives, judge=_all_served),
    )
}
