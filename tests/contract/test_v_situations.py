"""The contract of an allocation in every situation of the buddy: a new life is always the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice

import numpy as np
import pytest

from frame_harness.base.units import Paddr, Pfn, pfn_to_paddr
from frame_harness.concurrency.smp import Cpus, Job, OpViolation
from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.frame_storms.table import FrameMemory, growth_of
from frame_harness.guest.checks import OtherClauseViolated, expect, expect_panic

pytestmark = pytest.mark.one_machine

ALLOCATE = "FrameAllocOptions::allocate"
ALLOCATED, KERNEL, USER, MOVABLE = 1 << 8, 1 << 10, 1 << 11, 1 << 13
COUNTED = ("allocated", "on_last_ref", "on_unmap")
HOOKS_CALLED = 1 << 32 | 1
"""What a program expects of a frame that comes back: one call of each hook."""
DIRT = 0xA5
POISONED = 1 << 31
HEALTHY_EVERY = 700
SMALL_RAM = "24 MiB"
MANY_LIVES, LIVES_AT_ONCE = (1 << 16) + 2, 1 << 13
LIVES = 24
"""Allocations in each situation: more than a cache holds."""
BUILDERS = (
    ("kernel", True, KERNEL | ALLOCATED),
    ("user", False, USER | ALLOCATED | MOVABLE),
    ("pagetable", True, KERNEL | ALLOCATED),
    ("custom:0x5", False, 0x5 | ALLOCATED),
    ("user", True, USER | ALLOCATED | MOVABLE),
    ("kernel", False, KERNEL | ALLOCATED),
)


FIELDS = {
    "ALLOC-02": ("flags",),
    "ALLOC-09": ("refcount", "order", "vtable", "guard", "meta_aux"),
    "GEN-01": ("generation",),
}
"""Of a new life, by the clause that says what each holds."""


def nothing(_kernel: Kernel) -> None:
    """As boot left it."""


def frames_in_the_cache(kernel: Kernel) -> None:
    taken = [kernel.alloc(purpose=purpose) for purpose in ("kernel", "user") for _ in range(6)]
    kernel.batch([f"release {paddr:#x} 0" for paddr in taken])


def poison(kernel: Kernel, frames: Iterable[Paddr]) -> None:
    for paddr in frames:
        kernel.slot(paddr).mark_poisoned()


def poison_in_the_cache(kernel: Kernel) -> None:
    frames_in_the_cache(kernel)
    poison(kernel, sorted(kernel.cached_frames())[::2])


def poison_first_on_each_list(kernel: Kernel) -> None:
    frames_in_the_cache(kernel)
    kernel.call("buddy.drain")
    poison(kernel, [pfn_to_paddr(first) for first, order, _ in kernel.free_blocks() if order < 2])


def memory_was_out(kernel: Kernel) -> None:
    before = kernel.live_frames()
    kernel.call("alloc.all", "new", "zeroed=0")
    kernel.batch([f"release {pfn << 12:#x} 0" for pfn in sorted(kernel.live_frames() - before)[::7]])


def lists_without_a_cache(kernel: Kernel) -> None:
    frames_in_the_cache(kernel)
    kernel.call("buddy.drain")


def a_claim_was_refused(kernel: Kernel) -> None:
    paddr = kernel.alloc()
    kernel.offer(paddr)
    with expect_panic("allocation of a live frame", f"{paddr:#x}"):
        kernel.alloc()


def the_buddy_refused(kernel: Kernel) -> None:
    kernel.inject("buddy.refuse", 1)
    expect("status of an allocation without memory", kernel.request("alloc new").status, "fail")


SITUATIONS: tuple[Callable[[Kernel], None], ...] = (
    nothing,
    frames_in_the_cache,
    poison_in_the_cache,
    poison_first_on_each_list,
    lists_without_a_cache,
    a_claim_was_refused,
    the_buddy_refused,
    memory_was_out,
)


@pytest.mark.level("sequence")
@pytest.mark.parametrize(
    "clause", [pytest.param(id_, marks=pytest.mark.clause(id_, at=ALLOCATE)) for id_ in FIELDS]
)
def test_a_new_life_is_the_same_in_each_situation(boot: Boot, clause: str) -> None:
    """Each clause by itself: not every version of a module has what another one speaks of."""
    kernel = boot(ram=SMALL_RAM)
    for situation in SITUATIONS:
        situation(kernel)
        if "meta_aux" in FIELDS[clause]:
            kernel.slots()["meta_aux"][free_frames(kernel)] = 0xBEEF  # a hint of an earlier life
        for purpose, zeroed, flags in islice(cycle(BUILDERS), LIVES):
            before = kernel.slots().copy()
            paddr = kernel.alloc(purpose=purpose, zeroed=int(zeroed))
            expect_life(kernel, before[paddr >> 12], paddr, flags, FIELDS[clause], words(situation))


@pytest.mark.level("sequence")
@pytest.mark.clause("ALLOC-04", "ALLOC-05", at=ALLOCATE)
def test_a_new_payload_is_the_same_in_each_situation(boot: Boot) -> None:
    kernel = boot(ram=SMALL_RAM)
    for situation in SITUATIONS:
        situation(kernel)
        dirty_free_memory(kernel)
        for purpose, zeroed, _ in islice(cycle(BUILDERS), LIVES):
            paddr = kernel.alloc(purpose=purpose, zeroed=int(zeroed))
            expect_payload(kernel, paddr, words(situation), zeroed=zeroed)


def dirty_free_memory(kernel: Kernel) -> None:
    for first, order, _ in kernel.free_blocks():
        kernel.payload(Paddr(first << 12), frames=1 << order)[:] = DIRT
    for paddr in kernel.cached_frames():
        kernel.payload(paddr)[:] = DIRT


@pytest.mark.level("sequence")
@pytest.mark.clause("GUARD-08", at=ALLOCATE)
def test_healthy_frames_among_many_poisoned_ones_are_all_handed_out(boot: Boot) -> None:
    """However many are passed over in a row, memory is out only where no healthy frame is left."""
    kernel = boot(ram=SMALL_RAM)
    kernel.call("buddy.drain")
    free = free_frames(kernel)
    healthy = set(free[::HEALTHY_EVERY])
    kernel.slots()["guard"][[pfn for pfn in free if pfn not in healthy]] = POISONED
    handed_out = kernel.generation_changes(lambda: kernel.call("alloc.all", "new", "zeroed=0"))
    what = f"healthy frames, each beside {HEALTHY_EVERY - 1} poisoned ones, that were not handed out"
    expect(what, len(healthy - handed_out), 0, field="guard")
    expect("poisoned frames that were handed out", len(handed_out - healthy), 0, field="guard")


@pytest.mark.level("sequence")
@pytest.mark.clause("GUARD-08", at=ALLOCATE)
def test_the_last_healthy_frame_of_all_is_handed_out(boot: Boot) -> None:
    """A dry run tells which one comes last: no number of poisoned frames is too many to pass over."""
    last = last_frame_of(boot(ram=SMALL_RAM))
    kernel = boot(ram=SMALL_RAM)
    kernel.call("buddy.drain")
    sick = [pfn for pfn in free_frames(kernel) if pfn != last >> 12]
    kernel.slots()["guard"][sick] = POISONED
    reply = kernel.request("alloc new zeroed=0")
    got = reply["paddr"] if reply.status == "ok" else reply.outcome.code
    expect(f"frame handed out, of one healthy frame behind {len(sick)} poisoned ones", got, last, base=16)


def last_frame_of(kernel: Kernel) -> Paddr:
    """The frame that a guest gets when no other one is left."""
    kernel.call("buddy.drain")
    kernel.call("alloc.all", "new", "zeroed=0")
    return Paddr(
        [int(row["paddr"], 0) for row in kernel.call("buddy.log").rows() if row["op"] == "alloc"][-1]
    )


@pytest.mark.level("sequence")
@pytest.mark.clause("ALLOC-04", "ALLOC-05", at=ALLOCATE)
def test_every_frame_of_memory_begins_a_life_like_any_other(boot: Boot) -> None:
    """Where a frame lies decides nothing: all are asked for, then each half while the other half is held."""
    kernel = boot(ram=SMALL_RAM)
    kernel.call("buddy.drain")
    free = free_frames(kernel)
    dirty_free_memory(kernel)
    expect_every_life(kernel, free, *BUILDERS[1])
    for half in (0, 1):
        taken, held = ([pfn for pfn in free if pfn % 2 == of] for of in (half, 1 - half))
        kernel.batch([f"release {pfn << 12:#x} 0" for pfn in taken])
        for pfn in free:
            kernel.payload(pfn_to_paddr(Pfn(pfn)))[:] = DIRT
        expect_every_life(kernel, taken, *BUILDERS[0])
        spoilt, whose = other_bytes(kernel, held, DIRT), "the holder of a neighbor"
        expect_same("payload", held, spoilt, np.zeros(len(held)), whose=whose)


def known(kernel: Kernel, flags: int) -> int:
    """Flags of a new frame, without the one that an older version does not have."""
    return flags if kernel.image.has("frame_flags::MOVABLE") else flags & ~MOVABLE


def expect_every_life(kernel: Kernel, free: Sequence[int], purpose: str, zeroed: bool, flags: int) -> None:
    """Ask for as many frames as there are; `free` are those, full of dirt."""
    before = kernel.slots().copy()
    kernel.call("alloc.all", "new", f"zeroed={int(zeroed)}", f"purpose={purpose}")
    after = kernel.slots()
    new = {"flags": known(kernel, flags), "refcount": 1, "order": 0, "vtable": 0, "guard": 0}
    wanted = {name: np.full(len(free), value) for name, value in new.items()}
    wanted |= {"generation": before["generation"][free] + 1, "meta_aux": before["meta_aux"][free]}
    for name, values in wanted.items():
        expect_same(name, free, after[name][free], values)
    byte, clause = (0, "ALLOC-04") if zeroed else (DIRT, "ALLOC-05")
    expect_same("payload", free, other_bytes(kernel, free, byte), np.zeros(len(free)), clause=clause)


def other_bytes(kernel: Kernel, pfns: Iterable[int], byte: int) -> np.ndarray:
    """Of each frame how many bytes are not that one, shape (n_frames,)."""
    payloads = (kernel.payload(pfn_to_paddr(Pfn(int(pfn)))) for pfn in pfns)
    return np.array([np.count_nonzero(payload != byte) for payload in payloads])


@pytest.mark.level("sequence")
@pytest.mark.clause("ALLOC-04", "ALLOC-11", "REF-01", at=ALLOCATE)
def test_each_of_many_lives_is_like_the_first(shared_kernel: Kernel) -> None:
    """A number of 16 bits that somebody counts with has wrapped behind them."""
    kernel, memory = shared_kernel, FrameMemory(shared_kernel)
    (held,) = frames = memory.take(1)
    many_lives(kernel, frames, ("alloc.zeroed", "clean", "inc@0", "dec@0", "drop"))
    count = int(kernel.slots()[held >> 12]["refcount"])
    what = f"reference count after {MANY_LIVES} balanced pairs"
    expect(what, count, 1, frame=held, field="refcount", function="MetaSlot::dec_ref", clause="REF-01")
    memory.give_back(frames)
    memory.expect_as_before()


@pytest.mark.level("sequence")
@pytest.mark.clause("VT-05")
def test_each_of_many_lives_of_users_ends_with_its_hooks(shared_kernel: Kernel) -> None:
    memory = FrameMemory(shared_kernel)
    frames = memory.take(1)
    flagged = f"flagged={known(shared_kernel, USER | ALLOCATED | MOVABLE):#x}"
    done = many_lives(shared_kernel, frames, ("alloc.user", flagged, "hook", "drop"))
    for hook in ("on_last_ref", "on_unmap"):
        expect(f"calls of {hook}", done[hook], MANY_LIVES, function=f"invoke_vtable_{hook}")
    memory.give_back(frames)


@pytest.mark.level("sequence")
@pytest.mark.clause("GEN-02", at=ALLOCATE)
def test_each_of_many_lives_of_page_tables_has_a_generation_of_its_own(shared_kernel: Kernel) -> None:
    memory = FrameMemory(shared_kernel)
    frames = memory.take(1)
    before = shared_kernel.slots()["generation"].copy()
    many_lives(shared_kernel, frames, ("alloc.table", "clean", "drop"))
    growth = growth_of(before, shared_kernel.slots()["generation"])
    expect("generations that began", growth, MANY_LIVES, field="generation")
    memory.give_back(frames)


def many_lives(kernel: Kernel, frames: Sequence[Paddr], life: tuple[str, ...]) -> Counter[str]:
    """Begin and end lives one after another, none near a request's limit; returns what was counted."""
    cpus, done = Cpus(kernel), Counter[str]()
    cpus.frames(frames)
    for earlier in range(0, MANY_LIVES, LIVES_AT_ONCE):
        outcome = cpus.run({0: Job(life, iterations=min(LIVES_AT_ONCE, MANY_LIVES - earlier))})
        for first in outcome.violations:
            raise wrong_life(first, earlier + first.iteration)
        done += Counter({name: outcome.total(name) for name in COUNTED})
    if done["allocated"] != MANY_LIVES:
        raise OtherClauseViolated(
            "ALLOC-11", "allocations, of one frame at a time", expected=str(MANY_LIVES),
            got=str(done["allocated"]), function=ALLOCATE,
        )  # fmt: skip
    return done


def wrong_life(first: OpViolation, number: int) -> OtherClauseViolated:
    """A step of a life that found a wrong payload, a wrong reference, or what another owner left."""
    clause, function = {
        "clean": ("ALLOC-04", ALLOCATE), "flagged": ("ALLOC-02", ALLOCATE),
        "drop": ("REF-01", "MetaSlot::dec_ref"),
    }.get(first.op, ("ALLOC-09", ALLOCATE))  # fmt: skip
    if first.op == "drop" and first.expected == HOOKS_CALLED:
        calls = {"on_last_ref": first.got >> 32, "on_unmap": first.got & 0xFFFF_FFFF}
        hook = next((name for name, count in calls.items() if count != 1), "on_unmap")
        return OtherClauseViolated(
            "VT-05", f"calls of {hook} at the end of life {number} of {MANY_LIVES}", expected="1",
            got=str(calls[hook]), frame=first.paddr, function=f"invoke_vtable_{hook}",
        )  # fmt: skip
    if first.op == "drop" and first.expected != 1:  # what the frame held for its owner
        clause, function = "ALLOC-14", ALLOCATE
    return OtherClauseViolated(
        clause,
        f"value that `{first.op}` found in life {number} of {MANY_LIVES}",
        expected=f"{first.expected:#x}",
        got=f"{first.got:#x}",
        frame=first.paddr,
        function=function,
    )


def expect_same(
    name: str,
    pfns: Sequence[int],
    found: np.ndarray,
    wanted: np.ndarray,
    *,
    clause: str = "ALLOC-04",
    whose: str = "a new life",
) -> None:
    """Require that all frames are as they must be; of a payload, bytes that are not are counted."""
    wrong = np.flatnonzero(found != wanted)
    if wrong.size:
        first, known = wrong[0], (id_ for id_, fields in FIELDS.items() if name in fields)
        raise OtherClauseViolated(
            next(known, clause),
            f"{name} of {whose}, of {wrong.size} frames among {len(pfns)}",
            expected=f"{int(wanted[first]):#x}",
            got=f"{int(found[first]):#x}",
            frame=pfn_to_paddr(Pfn(int(pfns[first]))),
            field=name,
            function=ALLOCATE,
        )


def words(situation: Callable[[Kernel], None]) -> str:
    return situation.__name__.replace("_", " ")


def free_frames(kernel: Kernel) -> list[int]:
    """Every frame that an allocation may get."""
    free = {first + page for first, order, _ in kernel.free_blocks() for page in range(1 << order)}
    return sorted(free | {paddr >> 12 for paddr in kernel.cached_frames()})


def expect_life(
    kernel: Kernel, before: np.void, paddr: Paddr, flags: int, fields: Iterable[str], after_what: str
) -> None:
    after = kernel.slots()[paddr >> 12]
    for name in fields:
        match name:
            case "flags":
                value = flags
            case "meta_aux":
                value = int(before[name])
            case "generation":
                value = int(before[name]) + 1 & 0xFFFF_FFFF
            case _:
                value = int(name == "refcount")
        expect(
            f"{name} of a new life after: {after_what}",
            int(after[name]),
            value,
            base=16,
            frame=paddr,
            field=name,
        )


def expect_payload(kernel: Kernel, paddr: Paddr, after_what: str, *, zeroed: bool) -> None:
    other = int(np.count_nonzero(kernel.payload(paddr) != (0 if zeroed else DIRT)))
    what = "bytes of a zeroed frame that are not zero" if zeroed else "bytes that changed, unasked"
    clause = "ALLOC-04" if zeroed else "ALLOC-05"
    expect(f"{what} after: {after_what}", other, 0, frame=paddr, field="payload", clause=clause)
