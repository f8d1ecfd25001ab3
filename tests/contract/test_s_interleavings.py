"""Contract kind S, forced: one CPU is stopped wherever another one could tell, which runs then."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import PAGE_SHIFT, Paddr
from frame_harness.concurrency.interleaving import Turns, interleaved
from frame_harness.concurrency.smp import Cpus
from frame_harness.concurrency.turn import Turn
from frame_harness.concurrency.two_cpus import FIRST, SECOND
from frame_harness.frame_guest.expecting import refusal_words
from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.frame_metadata.functions import ALLOCATE
from frame_harness.guest.bookkeeping import BookkeepingCopy
from frame_harness.guest.checks import (
    Call,
    ClauseViolated,
    OtherClauseViolated,
    Values,
    expect,
    expect_loud,
    says,
)

pytestmark = [pytest.mark.one_machine, pytest.mark.level("interleaving")]

LIVE = 0x500
COW, POISONED_FLAG = 1 << 0, 1 << 12
KERNEL_ONLY, POISONED_GUARD = 1 << 0, 1 << 31
UNUSED = 2**32 - 1
GENERATION = 41
REFCOUNT = 32  # offset of the count, of 4 bytes
BUDDY = "kernel_shim::memory::buddy_locks"
MANY = 1 << 16  # references: a count whose low half is zero
OVERTAKEN = 12  # attempts of one step that another CPU spoils
META_AUX = 44  # offset of the holder's own field, behind all others


def slot_of(kernel: Kernel, paddr: Paddr) -> NDArray[np.void]:
    """The slot of a frame as an array of one, live in guest RAM."""
    pfn = paddr >> PAGE_SHIFT
    return kernel.slots()[pfn : pfn + 1]


def expect_at(
    turn: Turn, what: str, got: int, expected: int, *, frame: Paddr, field: str, function: str = ""
) -> None:
    if got != expected:
        diagram = turn.diagram(what, f"{expected:#x}", f"{got:#x}", field)
        raise ClauseViolated(
            diagram.what,
            expected=diagram.expected,
            got=diagram.got,
            frame=frame,
            field=field,
            function=function,
            diagram=diagram,
            values=Values({field: expected}, {field: got}),
        )


@contextlib.contextmanager
def on_one_frame(boot: Boot, first: str, second: str) -> Iterator[tuple[Turns[Kernel], Paddr]]:
    """Let two CPUs begin a step each on a live frame."""
    frames: list[Paddr] = []

    def prepare(kernel: Kernel, cpus: Cpus) -> tuple[str, str]:
        frames.append(kernel.alloc(zeroed=False))
        cpus.frames(frames)
        return first, second

    with interleaved(boot, prepare) as both:
        yield both, frames[0]


def clash(
    boot: Boot, first: str, second: str, before: dict[str, int], after: dict[str, int], function: str = ""
) -> int:
    """Run two steps on one live frame, the second at every point of the first; returns how many those are.

    Args:
        function: the one that the first step calls, where the check's marker does not say it.
    """
    turns = 0
    with on_one_frame(boot, first, second) as (both, frame):
        slot = slot_of(both.kernel, frame)

        def reset() -> None:
            for field, value in before.items():
                slot[field] = value

        for turn in both.every_preemption(slot.view(np.uint8), reset):
            turns += 1
            for field, value in after.items():
                what = f"{field} after {first} and {second}"
                got = int(slot[field][0])
                expect_at(turn, what, got, value, frame=frame, field=field, function=function)
    assert turns > 1
    return turns


@pytest.mark.clause("GUARD-09", at="MetaSlot::mark_poisoned")
def test_a_flag_that_is_set_while_a_frame_is_poisoned_stays(boot: Boot) -> None:
    before = {"flags": LIVE, "guard": KERNEL_ONLY}
    after = {"flags": LIVE | POISONED_FLAG | COW, "guard": KERNEL_ONLY | POISONED_GUARD}
    clash(boot, "poison@0", f"or@0={COW:#x}", before, after)


@pytest.mark.clause("GUARD-09", at="MetaSlot::mark_poisoned")
def test_a_flag_that_is_cleared_while_a_frame_is_poisoned_stays_clear(boot: Boot) -> None:
    before = {"flags": LIVE | COW, "guard": 0}
    clash(boot, "poison@0", f"andnot@0={COW:#x}", before, {"flags": LIVE | POISONED_FLAG})


@pytest.mark.clause("REF-04", at="MetaSlot::inc_ref")
@pytest.mark.parametrize(
    ("first", "second", "end"), [("inc", "inc", 7), ("inc", "dec", 5), ("dec", "dec", 3)]
)
def test_no_reference_is_lost_between_two_cpus(boot: Boot, first: str, second: str, end: int) -> None:
    function = f"MetaSlot::{first}_ref"
    clash(boot, f"{first}@0", f"{second}@0", {"refcount": 5}, {"refcount": end}, function)


def overtaking(slot: NDArray[np.void], done: Counter[str], times: int) -> Callable[[str], None]:
    """What another CPU does to a field ahead of each attempt to write to it: one more, or one bit turned."""
    turned = {"flags": COW, "guard": KERNEL_ONLY}

    def ahead_of_write(field: str) -> None:
        if done[field] < times:
            done[field] += 1
            value = int(slot[field][0])
            slot[field] = value ^ turned[field] if field in turned else value + 1

    return ahead_of_write


@pytest.mark.parametrize(
    ("step", "before", "by_step"),
    [
        pytest.param(step, before, by_step, id=step.partition("@")[0], marks=pytest.mark.clause(id_, at=at))
        for step, before, by_step, id_, at in (
            ("inc@0", {"refcount": 5}, {"refcount": 1}, "REF-04", "MetaSlot::inc_ref"),
            ("dec@0", {"refcount": 5}, {"refcount": -1}, "REF-04", "MetaSlot::dec_ref"),
            (
                "poison@0", {"flags": LIVE, "guard": 0}, {"flags": POISONED_FLAG, "guard": POISONED_GUARD},
                "GUARD-09", "MetaSlot::mark_poisoned",
            ),
        )
    ],
)  # fmt: skip
def test_what_is_overtaken_again_and_again_is_still_done(
    boot: Boot, step: str, before: dict[str, int], by_step: dict[str, int]
) -> None:
    """A step that gives up after some attempts loses its change without a word."""
    with on_one_frame(boot, step, "nothing") as (both, frame):
        slot, done = slot_of(both.kernel, frame), Counter[str]()

        def reset() -> None:
            for field, value in before.items():
                slot[field] = value

        both.overtaken(reset, overtaking(slot, done, OVERTAKEN))
        for field, value in before.items():
            n_others, got = done[field], int(slot[field][0])
            others = {"flags": COW * (n_others % 2), "guard": KERNEL_ONLY * (n_others % 2)}.get(
                field, n_others
            )
            what = f"{field} after {step}, with another CPU's change ahead of each of {n_others} attempts"
            wanted = value + others + by_step[field]
            expect(what, got, wanted, base=16, frame=frame, field=field)
        assert done


def expect_one_of_two(boot: Boot, what: str, step: str, count: int) -> None:
    """Run a step on two CPUs, on one frame with this reference count: one of them comes away with it."""
    turns = 0
    with on_one_frame(boot, step, step) as (both, frame):
        slot = slot_of(both.kernel, frame)

        def reset() -> None:
            slot["refcount"] = count
            both.cpus.table["tally"] = 0

        for turn in both.every_preemption(slot.view(np.uint8), reset):
            turns += 1
            tally = int(both.cpus.table["tally"])
            expect_at(turn, what, tally, 1, frame=frame, field="refcount")
    assert turns > 1


@pytest.mark.clause("REF-06", at="MetaSlot::dec_ref")
def test_one_of_two_cpus_is_told_that_it_dropped_the_last_reference(boot: Boot) -> None:
    expect_one_of_two(boot, "CPUs that dropped the last reference", "dec@0", 2)


@pytest.mark.clause("REF-05", at="MetaSlot::cas_refcount")
def test_a_claim_between_the_looks_of_another_one_wins_alone(boot: Boot) -> None:
    expect_one_of_two(boot, "winners of two claims", "claim@0", UNUSED)


@pytest.mark.clause("ALLOC-16", at="FrameAllocOptions::allocate")
def test_no_reader_ever_sees_half_a_life(boot: Boot) -> None:
    """Another CPU reads the slot at every moment of an allocation at which the slot has changed."""
    frames: list[Paddr] = []

    def prepare(kernel: Kernel, cpus: Cpus) -> tuple[str, str]:
        frames.append(kernel.buddy_alloc(0, "unmovable"))
        slot = kernel.slot(frames[0])
        slot.set_guard(KERNEL_ONLY)
        slot.set_vtable_bits(kernel.vtable("both"))
        slot.set_generation(GENERATION)
        kernel.payload(frames[0])[:] = 0xA5
        kernel.offer(frames[0])
        cpus.frames(frames)
        return "alloc.zeroed", "look@0"

    whole = {"generation": GENERATION + 1, "guard": 0, "vtable": 0, "flags": LIVE, "order": 0, "payload": 0}
    live = 0
    with interleaved(boot, prepare) as both:
        for turn in both.every_change(slot_of(both.kernel, frames[0]).view(np.uint8)[:META_AUX]):
            seen = both.cpus.seen(SECOND)
            if seen["refcount"] != 1 or turn.ended:
                continue  # when it has ended the holder has written to the frame
            live += 1
            for field, value in whole.items():
                what = f"{field} of a frame whose count is 1"
                expect_at(turn, what, seen[field], value, frame=frames[0], field=field)
    assert live


@pytest.mark.clause("REF-07", at="MetaSlot::dec_ref")
@pytest.mark.parametrize(("step", "count"), [("dec@0", 1), ("inc@0", UNUSED - 2)], ids=["dec", "inc"])
def test_no_reference_forges_the_sentinel_behind_the_back_of_a_look(
    boot: Boot, step: str, count: int
) -> None:
    """Both CPUs look at a count that allows one more step; the one that comes second must see it gone."""
    with expect_loud(), on_one_frame(boot, step, step) as (both, frame):
        slot = slot_of(both.kernel, frame)

        def reset() -> None:
            slot["refcount"] = count

        turn = both.preempted_write(count_of(slot), -1, reset)
        if turn is not None:
            forged = int(slot["refcount"][0]) == UNUSED
            what = f"{step} twice, from {count:#x}: the count is the free sentinel"
            function = f"MetaSlot::{step.partition('@')[0]}_ref"
            expect_at(turn, what, int(forged), 0, frame=frame, field="refcount", function=function)


@pytest.mark.parametrize(
    ("step", "count"),
    [
        pytest.param(
            f"{name}@0", count, id=name, marks=pytest.mark.clause("REF-07", at=f"MetaSlot::{name}_ref")
        )
        for name, count in (("dec", 0), ("inc", UNUSED - 1))
    ],
)
def test_no_refused_reference_is_the_sentinel_for_a_moment(boot: Boot, step: str, count: int) -> None:
    """Whoever claims the frame in that moment has it, whatever is made of the count behind it."""
    found: list[int] = []
    with expect_loud(), on_one_frame(boot, step, "nothing") as (both, frame):
        slot = slot_of(both.kernel, frame)

        def reset() -> None:
            slot["refcount"] = count

        both.overtaken(reset, lambda _: found.append(int(slot["refcount"][0])))
        forged = UNUSED in found
        what = f"whether {step} is about to replace the free sentinel, which it made of {count:#x}"
        expect(what, forged, False, frame=frame, field="refcount")


def count_of(slot: NDArray[np.void]) -> NDArray[np.uint8]:
    """The bytes of a slot's count, live in guest RAM."""
    return slot.view(np.uint8)[REFCOUNT : REFCOUNT + 4]


class Offer:
    """A free frame that the buddy offers to the next caller, as often as it is renewed.

    Args:
        first: the step of the first CPU, as programs are written; `second` that of the other one.
    """

    frame: Paddr
    slot: NDArray[np.void]
    generation: int
    """Before the first claim."""

    def __init__(self, first: str, second: str) -> None:
        self._steps = first, second

    def prepare(self, kernel: Kernel, cpus: Cpus) -> tuple[str, str]:
        """Take the frame and offer it; return both steps, as `interleaved` asks for them."""
        self.frame = kernel.buddy_alloc(0, "unmovable")
        self.slot = slot_of(kernel, self.frame)
        self.generation = int(self.slot["generation"][0])
        kernel.offer(self.frame)
        cpus.frames([self.frame])
        self._pending = BookkeepingCopy(kernel)
        buddy = [kernel.bytes_at(one.vaddr, one.size) for one in kernel.image.statics(BUDDY)]
        if not buddy:
            raise HarnessError(BUDDY, expected="the state of the buddy", actual="no static of that module")
        self._offering = [(live, live.copy()) for live in buddy]
        return self._steps

    def renew(self) -> None:
        """Offer the frame to the next one who asks, too, whatever the slots say by now."""
        for live, kept in self._offering:
            live[:] = kept

    def claimed_late(self, both: Turns[Kernel], between: Callable[[], None] = lambda: None) -> Turn:
        """Let the second CPU run where the first one was given the frame and is about to claim it.

        Args:
            between: called ahead of the second CPU's step.
        """
        turn = both.preempted_write(count_of(self.slot), 0, self._pending.restore, between)
        if turn is None:
            raise ClauseViolated(
                "allocation of a free frame", expected="a new count", got="none", frame=self.frame
            )
        return turn


def expect_refused(what: str, call: Call, offer: Offer, *words: str) -> None:
    """Require that a call panicked, and said each of some words, as `number` writes them."""
    said = "no panic" if call.panic is None else call.panic.message
    missing = [word.partition("|")[0] for word in words if not says(said, word)]
    if missing:
        raise ClauseViolated(
            what,
            expected=f"a panic that names {', '.join(missing)}",
            got=said,
            frame=offer.frame,
            field="refcount",
        )


@pytest.mark.clause("ALLOC-10", "FREE-08", at="FrameAllocOptions::allocate")
def test_a_claim_that_comes_too_late_is_refused_with_a_panic(boot: Boot) -> None:
    """The buddy offers one frame to two CPUs, who both find it free; one claims it, then the other one."""
    offer = Offer("alloc", "alloc")
    with expect_loud() as call, interleaved(boot, offer.prepare) as both:
        turn = offer.claimed_late(both, offer.renew)
        found = both.cpus.last(SECOND), int(offer.slot["refcount"][0])
        for what, got, expected in (
            ("frame that the first claim got", found[0], offer.frame),
            ("count after the late claim", found[1], 1),
        ):
            expect_at(turn, what, got, expected, frame=offer.frame, field="refcount")
    frame, _, sentinel = refusal_words(offer.frame, 0)  # of two counts it may find either
    expect_refused("late claim", call, offer, frame, sentinel)


@pytest.mark.clause("ALLOC-10", at="FrameAllocOptions::allocate")
def test_a_claim_that_comes_too_late_names_the_whole_count_that_it_finds(boot: Boot) -> None:
    """The frame is held 65536 times by now, and another CPU takes one more reference."""
    offer = Offer("alloc", "inc@0")

    def hold() -> None:
        offer.slot["refcount"] = MANY

    with expect_loud() as call, interleaved(boot, offer.prepare) as both:
        turn = offer.claimed_late(both, hold)
        count = int(offer.slot["refcount"][0])
        expect_at(turn, "count after the late claim", count, MANY + 1, frame=offer.frame, field="refcount")
    words = refusal_words(offer.frame, MANY + 1)
    expect_refused("late claim of a frame that is held", call, offer, *words)


@pytest.mark.clause("GUARD-08", at="FrameAllocOptions::allocate")
def test_poison_that_comes_between_look_and_claim_is_not_healed(boot: Boot) -> None:
    offer = Offer("alloc.zeroed", "poison@0")
    with expect_loud(), interleaved(boot, offer.prepare) as both:
        turn = offer.claimed_late(both)
        poison = int(offer.slot["guard"][0]) & POISONED_GUARD
        expect_at(turn, "poison of a free frame", poison, POISONED_GUARD, frame=offer.frame, field="guard")
        if not turn.panicked:
            handed_out = both.cpus.last(FIRST) == offer.frame
            expect(
                "whether the poisoned frame was handed out",
                handed_out,
                False,
                frame=offer.frame,
                field="guard",
            )
            if not both.cpus.last(FIRST):
                raise OtherClauseViolated(
                    "ALLOC-11", "allocation that met a poisoned frame, with healthy ones behind it",
                    expected="another frame", got="none", frame=offer.frame, function=ALLOCATE,
                )  # fmt: skip


@pytest.mark.clause("GEN-01", at="FrameAllocOptions::allocate")
def test_a_claim_that_poison_stops_begins_no_life(boot: Boot) -> None:
    """Poison comes between look and claim; the generation grows if the frame is handed out all the same."""
    offer = Offer("alloc.zeroed", "poison@0")
    with expect_loud(), interleaved(boot, offer.prepare) as both:
        turn = offer.claimed_late(both)
        if not turn.panicked:
            lives = int(both.cpus.last(FIRST) == offer.frame)
            found = int(offer.slot["generation"][0])
            what = "generation of a frame that was poisoned before its claim"
            expect_at(turn, what, found, offer.generation + lives, frame=offer.frame, field="generation")
