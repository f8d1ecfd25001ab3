"""The contract of an allocation where all changes at once: what is asked for, what is offered.

Other checks change one of them at a time. A bug that needs two of them shows here alone: zeroing that is left
out for one purpose, if the frame had a hint in `meta_aux`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from frame_harness.base.units import PAGE_SIZE, Paddr, paddr_to_pfn
from frame_harness.concurrency.elsewhere import OTHERS, WITH_OTHERS, programs_on
from frame_harness.contract.methods import Case, SlotValues
from frame_harness.frame_guest.expecting import expect_refusal
from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.functions import ALLOCATE
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.guest.absence import require_names
from frame_harness.guest.boundaries import outcomes, tell, write_slots
from frame_harness.guest.checks import OtherClauseViolated, expect
from frame_harness.guest.reply import Reply

pytestmark = pytest.mark.one_machine

ROOM_ORDER = 8
"""Of the block whose frames are offered; the buddy's log holds as many requests."""
ROOM = 1 << ROOM_ORDER
WIDE_ORDER = 10
"""Of a block whose frames are all offered: where a frame lies decides nothing, at a border or at none."""
HIGH = 4 << 30
FLAGS = (
    *(C.flag_cow, C.flag_dll, C.flag_anonymous, C.flag_allocated, C.flag_free, C.flag_kernel, C.flag_user),
    *(C.flag_poisoned, C.flag_movable),
)
PURPOSES = {
    "pagetable": C.flag_kernel,
    "kernel": C.flag_kernel,
    "user": C.flag_user | C.flag_movable,
    "custom:0x5": C.flag_cow | C.flag_anonymous,
}
BUILDER_CALLS = ("zeroed=0", "zeroed=1", *(f"purpose={name}" for name in PURPOSES))
PAGE_TABLE, UNZEROED = "purpose=pagetable", "zeroed=0"
MOST_CALLS = 3
LIVES_OF_EACH_PURPOSE = 32
COUNTS_IN_USE = (0, 1, 2, 1 << 31, C.refcount_unused - 1)
DIRT = 0xA5
FIELDS = {
    "ALLOC-02": ("flags",),
    "ALLOC-09": ("next", "prev", "order", "meta_aux", "refcount"),
    "GUARD-05": ("vtable", "guard"),
    "GEN-01": ("generation",),
}
"""Of the new life, by the clause that says what becomes of them."""
PAYLOADS = ("ALLOC-04", "ALLOC-05", "ALLOC-06")


@dataclass(frozen=True)
class Recipe:
    """What an allocation is asked for, by calls of the builder in their order."""

    calls: tuple[str, ...]

    @property
    def words(self) -> str:
        """The command that asks."""
        return " ".join(("alloc new", *self.calls))

    @property
    def purpose(self) -> str:
        """As the last call has it."""
        return self._last("purpose", "kernel")

    @property
    def flags(self) -> int:
        """Of the new life."""
        word, _, flags = self.purpose.partition(":")
        return C.flag_allocated | (int(flags, 0) if word == "custom" else PURPOSES[self.purpose])

    @property
    def zeroed(self) -> bool:
        """Whether the new payload is zero."""
        return self.purpose == "pagetable" or self._last("zeroed", "1") == "1"

    @property
    def clause_of_payload(self) -> str:
        """The clause that says what becomes of the payload."""
        if self.purpose == "pagetable" and UNZEROED in self.calls:
            return "ALLOC-06"
        return "ALLOC-04" if self.zeroed else "ALLOC-05"

    @property
    def migratetype(self) -> str:
        """That the buddy is asked for."""
        return "movable" if self.flags & C.flag_movable else "unmovable"

    def _last(self, key: str, default: str) -> str:
        values = [value for name, _, value in (call.partition("=") for call in self.calls) if name == key]
        return values[-1] if values else default


def flag_combinations() -> Iterator[Recipe]:
    """Each combination of the flags with a name, zeroed and not, by either order of the builder's calls."""
    for chosen in range(1 << len(FLAGS)):
        flags = sum(flag for index, flag in enumerate(FLAGS) if chosen >> index & 1)
        for zeroed in (0, 1):
            calls = (f"purpose=custom:{flags:#x}", f"zeroed={zeroed}")
            yield Recipe(calls if chosen % 2 else calls[::-1])


def builder_calls() -> Iterator[Recipe]:
    """Each sequence of calls that leaves no doubt; `zeroed(false)` behind `PageTable` is for ALLOC-07."""
    for count in range(MOST_CALLS + 1):
        for calls in itertools.product(BUILDER_CALLS, repeat=count):
            behind = calls[calls.index(PAGE_TABLE) + 1 :] if PAGE_TABLE in calls else ()
            replaced = any(call.startswith("purpose") for call in behind)
            if UNZEROED not in behind and not (replaced and UNZEROED in calls):
                yield Recipe(calls)


def plain_recipes() -> Iterator[Recipe]:
    """Each purpose, zeroed and not, often: each time the frame had another life."""
    asked = [Recipe((f"zeroed={zeroed}", f"purpose={name}")) for zeroed in (0, 1) for name in PURPOSES]
    for _ in range(LIVES_OF_EACH_PURPOSE):
        yield from asked


def earlier_life(rng: random.Random, **fields: int) -> SlotValues:
    """A free, healthy slot with anything in its other fields: nothing, all ones, one bit, or any of them."""

    def value(bits: int) -> int:
        drawn = rng.getrandbits(bits)
        return (0, (1 << bits) - 1, 1 << drawn % bits, drawn)[rng.getrandbits(2)]

    slot = {name: value(bits) for name, bits in META_SLOT.widths.items()}
    handed_out = {
        "refcount": C.refcount_unused,
        "guard": slot["guard"] & ~C.guard_poisoned,
        # The buddy takes what is FREE for a block of a list. No clause says what POISONED means by itself.
        "flags": slot["flags"] & ~(C.flag_free | C.flag_poisoned),
        "generation": min(slot["generation"], (1 << 32) - 2),  # whether it wraps is for GEN-03 to say
    }
    return slot | handed_out | fields


def new_life(before: SlotValues, recipe: Recipe) -> SlotValues:
    fixed = {"refcount": 1, "order": 0, "vtable": 0, "guard": 0, "flags": recipe.flags}
    return before | fixed | {"generation": before["generation"] + 1}


@dataclass
class Offered:
    """Frames of one block, each offered to the allocation of one recipe, with what was left behind."""

    recipes: Sequence[Recipe]
    before: Sequence[SlotValues]
    block: Paddr
    replies: list[Reply]
    slots: np.ndarray
    payloads: np.ndarray
    asked: list[str]
    """The migratetypes of the requests for single frames, in order."""

    def frame(self, index: int) -> Paddr:
        return Paddr(self.block + index * PAGE_SIZE)


def offered(kernel: Kernel, block: Paddr, recipes: Sequence[Recipe], lives: Sequence[SlotValues]) -> Offered:
    """Ask for each recipe once, where the buddy offers a frame with that life; all slots are put back."""
    require_names(kernel.image, FRAME_METADATA.versions.whole_slot, "new lives of frames that had others")
    first, n_frames = paddr_to_pfn(block), len(recipes)
    table = kernel.slots()[first : first + n_frames]
    payloads = kernel.ram.view(block, n_frames * PAGE_SIZE).reshape(n_frames, PAGE_SIZE)
    kept = table.copy()
    write_slots(table, [Case(life, (), ()) for life in lives], META_SLOT)
    payloads[:] = DIRT
    kernel.call("buddy.log clear")
    offers = [f"inject buddy.next {block + index * PAGE_SIZE:#x}" for index in range(n_frames)]
    try:
        asked = zip(offers, (recipe.words for recipe in recipes), strict=True)
        replies = outcomes(kernel, [word for pair in asked for word in pair])[1::2]
        log = [row["mt"] for row in kernel.call("buddy.log").rows() if row["op"] == "alloc"]
        return Offered(recipes, lives, block, replies, table.copy(), payloads.copy(), log)
    finally:
        table[:] = kept


def expect_new_lives(kernel: Kernel, seen: Offered, clause: str) -> None:
    """Require of each allocation what one clause says; whether there was one is for ALLOC-09 to say."""
    wanted = seen.slots.copy()
    lives = [new_life(life, recipe) for life, recipe in zip(seen.before, seen.recipes, strict=True)]
    write_slots(wanted, [Case(life, (), ()) for life in lives], META_SLOT)
    for index, recipe in enumerate(seen.recipes):
        reply, frame = seen.replies[index], seen.frame(index)
        got = reply["paddr"] if reply.status == "ok" else reply.shown
        if got != frame:
            tell(kernel, seen.replies, index)
            what = f"frame that `{recipe.words}` got"
            raise OtherClauseViolated("ALLOC-09", what, expected=f"{frame:#x}", got=str(got), frame=frame)
        about = f"`{reply.request}` on a slot with {shown(seen.before[index])}"
        for name in FIELDS.get(clause, ()):
            found, want = int(seen.slots[index][name]), int(wanted[index][name])
            expect(f"{name} after {about}", found, want, base=16, frame=frame, field=name)
        if clause in PAYLOADS:
            left = int(np.count_nonzero(seen.payloads[index] != (0 if recipe.zeroed else DIRT)))
            what = f"bytes that are not {'zero' if recipe.zeroed else 'as they were'} after {about}"
            expect(what, left, 0, frame=frame, field="payload")
    if clause == "ALLOC-09":
        reserved = seen.slots.view(np.uint8) != wanted.view(np.uint8)
        names = [name for fields in FIELDS.values() for name in fields]
        alike = all((seen.slots[name] == wanted[name]).all() for name in names)
        expect("whether reserved bytes changed", alike and bool(reserved.any()), False)
    if clause == "ALLOC-08":
        expect("migratetypes asked for", seen.asked, [recipe.migratetype for recipe in seen.recipes])


def shown(slot: SlotValues) -> str:
    return ", ".join(f"{name} {value:#x}" for name, value in slot.items() if value)


def block_of(kernel: Kernel, *, high: bool) -> Paddr:
    """A block with room for the frames that are offered; a high one is of the largest order."""
    if not high:
        return kernel.buddy_alloc(ROOM_ORDER, "unmovable")
    blocks = [Paddr(kernel.buddy_alloc(C.max_order, "movable"))]
    while blocks[-1] < HIGH:
        blocks += [
            Paddr(reply["paddr"]) for reply in kernel.batch([f"buddy.alloc {C.max_order} movable"] * 64)
        ]
    kernel.batch([f"buddy.free {block:#x} {C.max_order}" for block in blocks[:-1]])
    return blocks[-1]


def give_back(kernel: Kernel, block: Paddr, *, high: bool) -> None:
    kernel.buddy_free(block, C.max_order if high else ROOM_ORDER)


def expect_each_new_life(kernel: Kernel, clause: str, recipes: Iterable[Recipe], *, high: bool) -> None:
    if clause in PAYLOADS:
        recipes = [recipe for recipe in recipes if recipe.clause_of_payload == clause]
    rng, block, recipes = random.Random(clause), block_of(kernel, high=high), list(recipes)
    for begin in range(0, len(recipes), ROOM):
        part = recipes[begin : begin + ROOM]
        seen = offered(kernel, block, part, [earlier_life(rng) for _ in part])
        expect_new_lives(kernel, seen, clause)
    give_back(kernel, block, high=high)


def of_clauses(*ids: str) -> pytest.MarkDecorator:
    """Each clause by itself: not every version of a module has what another one speaks of."""
    marked = [pytest.param(id_, marks=pytest.mark.clause(id_, at=ALLOCATE)) for id_ in ids]
    return pytest.mark.parametrize("promise", marked)


@of_clauses("ALLOC-02", "ALLOC-04", "ALLOC-05", "ALLOC-08")
def test_each_combination_of_flags_is_a_life_of_its_own(shared_kernel: Kernel, promise: str) -> None:
    expect_each_new_life(shared_kernel, promise, flag_combinations(), high=False)


@of_clauses("ALLOC-02", "ALLOC-08", *PAYLOADS)
def test_each_sequence_of_the_builder_s_calls_comes_to_its_life(shared_kernel: Kernel, promise: str) -> None:
    expect_each_new_life(shared_kernel, promise, builder_calls(), high=False)


@of_clauses(*FIELDS, *PAYLOADS)
def test_each_purpose_begins_its_life_whatever_the_frame_was(shared_kernel: Kernel, promise: str) -> None:
    expect_each_new_life(shared_kernel, promise, plain_recipes(), high=False)


@of_clauses(*FIELDS, *PAYLOADS)
@pytest.mark.machine("q35-5g")
def test_each_purpose_begins_its_life_behind_the_pci_hole(shared_kernel: Kernel, promise: str) -> None:
    expect_each_new_life(shared_kernel, promise, plain_recipes(), high=True)


@pytest.fixture
def other_cpus(shared_boot: Boot) -> Iterator[Kernel]:
    """A guest whose programs run on its other CPUs, which have no part in anything else."""
    with programs_on(shared_boot(cpus=WITH_OTHERS), *OTHERS) as kernel:
        yield kernel


@of_clauses(*FIELDS, *PAYLOADS, "ALLOC-08")
def test_each_purpose_begins_its_life_on_another_cpu(other_cpus: Kernel, promise: str) -> None:
    expect_each_new_life(other_cpus, promise, plain_recipes(), high=False)


def expect_refusals(kernel: Kernel, clause: str, *, high: bool) -> None:
    """Offer frames in use, one to each recipe."""
    block = block_of(kernel, high=high)
    expect_refused(kernel, clause, block, list(builder_calls()))
    give_back(kernel, block, high=high)


def expect_refused(kernel: Kernel, clause: str, block: Paddr, recipes: Sequence[Recipe]) -> None:
    """Each frame is refused by name, and left to its holder."""
    rng = random.Random(f"{clause} {block}")
    counts = list(itertools.islice(itertools.cycle(COUNTS_IN_USE), len(recipes)))
    lives = [earlier_life(rng, refcount=count) for count in counts]
    seen = offered(kernel, block, recipes, lives)
    for index, life in enumerate(lives):
        frame, after = seen.frame(index), seen.slots[index]
        about = f"`{seen.replies[index].request}` of a frame in use with {shown(life)}"
        if clause == "ALLOC-10":
            expect_refusal(about, seen.replies[index], frame, life["refcount"])
            count = int(after["refcount"])
            expect(f"count after {about}", count, life["refcount"], base=16, frame=frame, field="refcount")
            continue
        others = {name: value for name, value in life.items() if name not in ("refcount", "generation")}
        for name, value in others.items():
            expect(f"{name} after {about}", int(after[name]), value, base=16, frame=frame, field=name)
        spoilt = int(np.count_nonzero(seen.payloads[index] != DIRT))
        expect(f"bytes overwritten by {about}", spoilt, 0, frame=frame, field="payload")


@of_clauses("ALLOC-10", "ALLOC-15")
def test_no_recipe_gets_or_spoils_a_frame_in_use(shared_kernel: Kernel, promise: str) -> None:
    block, recipes = shared_kernel.buddy_alloc(WIDE_ORDER, "unmovable"), itertools.cycle(builder_calls())
    for first in range(0, 1 << WIDE_ORDER, ROOM):
        part = Paddr(block + first * PAGE_SIZE)
        expect_refused(shared_kernel, promise, part, list(itertools.islice(recipes, ROOM)))
    shared_kernel.buddy_free(block, WIDE_ORDER)


@of_clauses("ALLOC-10", "ALLOC-15")
def test_no_recipe_gets_or_spoils_a_frame_in_use_on_another_cpu(other_cpus: Kernel, promise: str) -> None:
    expect_refusals(other_cpus, promise, high=False)


@of_clauses("ALLOC-10", "ALLOC-15")
@pytest.mark.machine("q35-5g")
def test_no_recipe_gets_or_spoils_a_frame_in_use_behind_the_pci_hole(
    shared_kernel: Kernel, promise: str
) -> None:
    expect_refusals(shared_kernel, promise, high=True)


def expect_passed_over(kernel: Kernel, *, high: bool) -> None:
    """Offer poisoned frames, one to each recipe: none is handed out or begins a life, each stays poisoned.

    What becomes of them is the module's to say, so no other check may have this guest.
    """
    rng, block, recipes = random.Random(8), block_of(kernel, high=high), list(builder_calls())
    first = paddr_to_pfn(block)
    table = kernel.slots()[first : first + len(recipes)]
    lives = [earlier_life(rng, vtable=0) for _ in recipes]
    write_slots(
        table, [Case(life | {"guard": life["guard"] | C.guard_poisoned}, (), ()) for life in lives], META_SLOT
    )
    sick = [Paddr(block + index * PAGE_SIZE) for index in range(len(recipes))]
    asked = zip((f"inject buddy.next {paddr:#x}" for paddr in sick), (r.words for r in recipes), strict=True)
    replies = outcomes(kernel, [word for pair in asked for word in pair])[1::2]
    for index, (reply, recipe) in enumerate(zip(replies, recipes, strict=True)):
        got = reply["paddr"] if reply.status == "ok" else None
        if got == sick[index]:
            tell(kernel, replies, index)
        what = f"whether `{recipe.words}` got a poisoned frame"
        expect(what, got == sick[index], False, frame=sick[index], field="guard")
        generation, wanted = int(table[index]["generation"]), lives[index]["generation"]
        if generation != wanted:
            raise OtherClauseViolated(
                "GEN-01", f"generation of a frame that `{recipe.words}` passed over", expected=f"{wanted:#x}",
                got=f"{generation:#x}", frame=sick[index], field="generation", function=ALLOCATE,
            )  # fmt: skip
        poison = int(table[index]["guard"]) & C.guard_poisoned
        expect(
            f"poison after `{recipe.words}`",
            poison,
            C.guard_poisoned,
            base=16,
            frame=sick[index],
            field="guard",
        )


@pytest.mark.clause("GUARD-08", at=ALLOCATE)
def test_no_recipe_heals_a_frame(kernel: Kernel) -> None:
    expect_passed_over(kernel, high=False)


@pytest.mark.clause("GUARD-08", at=ALLOCATE)
def test_no_recipe_heals_a_frame_on_another_cpu(boot: Boot) -> None:
    with programs_on(boot(cpus=WITH_OTHERS), *OTHERS) as kernel:
        expect_passed_over(kernel, high=False)


@pytest.mark.clause("GUARD-08", at=ALLOCATE)
@pytest.mark.machine("q35-5g")
def test_no_recipe_heals_a_frame_behind_the_pci_hole(kernel: Kernel) -> None:
    expect_passed_over(kernel, high=True)
