"""Writes random histories, from the model alone: what a kernel does, what a broken one does, at any time."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.model import Model
from frame_harness.frame_metadata.model.zones import MAX_ORDER
from frame_harness.histories.steps import Cached, Got, Listed, Operand, Step

HOOKED = ("both", "unmap", "lastref", "empty")
FOLLOWERS = ("array.unmap", "array.lastref", "slot.try_vtable_ref", "slot.vtable_ref")
LARGE = 9  # from this order on a block is taken whole: frame by frame it would take too long
MOST_HELD = 400
MOST_FREED = 24


@dataclass(frozen=True)
class Held:
    """A block that somebody holds; `claimed` when it came from the frame module."""

    got: Got
    order: int
    claimed: bool


@dataclass
class Generator:
    """Chooses one step after the other.

    Each history does without some kinds of steps: what drowns in a mixture of everything shows in a mixture
    of little. What provokes a clause in `avoid` is left out, so that a known finding hides no other.
    """

    rng: random.Random
    avoid: Collection[str] = ()
    held: list[Held] = field(default_factory=list)
    freed: list[Got] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._number = 0
        self._queue: deque[Step] = deque()
        self._model: Model | None = None
        kinds = [
            kind
            for kind in KINDS
            if not set(kind.provokes) & set(self.avoid) and (kind.always or self.rng.random() < KEPT)
        ]
        self._writers = [kind.write for kind in kinds]
        self._weights = [kind.weight * (1 if kind.always else self.rng.choice((1, 1, 4))) for kind in kinds]

    # ---- one step after the other ------------------------------------------------------------------------

    def next(self, model: Model) -> Step:
        """The next step, for a guest in the state that the model is in."""
        self._model = model
        while not self._queue:
            write = self.rng.choices(self._writers, self._weights)[0]
            write(self)
        return self._queue.popleft()

    def note(self, step: Step, handed_out: tuple[int, ...]) -> None:
        """Learn what a step handed out."""
        name, *words = step.text.split()
        claimed = name.startswith("alloc")
        order = int(words[0]) if name in ("buddy.alloc", "trait.alloc") else 0
        self.held += [Held(Got(step.number, index), order, claimed) for index in range(len(handed_out))]

    @property
    def model(self) -> Model:
        if self._model is None:
            raise ValueError("no state to write for")
        return self._model

    def add(self, text: str, *operands: Operand) -> int:
        """Append a step; returns its number."""
        self._queue.append(Step(self._number, text, operands))
        self._number += 1
        return self._number - 1

    # ---- choosing ----------------------------------------------------------------------------------------

    def pick(self, *, claimed: bool = False) -> Held | None:
        """A block that is held, rather a recent one."""
        blocks = [held for held in self.held[-MOST_HELD:] if held.claimed or not claimed]
        if not blocks:
            return None
        return self.rng.choice(blocks[-8:] if self.rng.random() < RECENT else blocks)

    def frame_of(self, held: Held) -> Got:
        """One frame of a block."""
        return Got(held.got.step, held.got.index, self.rng.randrange(1 << held.order))

    def drop(self, held: Held) -> None:
        self.held.remove(held)
        self.freed = [*self.freed[-MOST_FREED:], held.got]

    def recipe(self) -> str:
        """Builder calls in any order."""
        words = [self.rng.choice(["new", "default"])]
        calls: list[str] = []
        for _ in range(self.rng.choice((0, 0, 1, 1, 2, 2, 3))):
            if self.rng.random() < 0.5:
                calls.append(f"zeroed={self.rng.randrange(2)}")
            else:
                flags = self.rng.choice((0, C.flag_movable, self.rng.getrandbits(32)))
                flags &= ~(C.flag_free | C.flag_poisoned)
                calls.append(self.rng.choice(["purpose=pagetable", "purpose=kernel", "purpose=user",
                                              f"purpose=custom:{flags:#x}"]))  # fmt: skip
        if self.provokes_unzeroed_table(calls):
            calls = [call for call in calls if call != "zeroed=0"]
        return " ".join(words + calls)

    def provokes_unzeroed_table(self, calls: list[str]) -> bool:
        """Whether page tables are asked for that a known finding leaves unzeroed."""
        wanted = {"ALLOC-06", "ALLOC-07"} & set(self.avoid)
        return bool(wanted) and "purpose=pagetable" in calls and "zeroed=0" in calls


KEPT = 0.75  # chance that a history has steps of a kind at all
RECENT = 0.6

# ---- what a kernel does -----------------------------------------------------------------------------------


def alloc(generator: Generator) -> None:
    generator.add(f"alloc {generator.recipe()}")


def take_block(generator: Generator) -> None:
    order = min(int(generator.rng.expovariate(0.4)), MAX_ORDER + 1)
    match generator.rng.randrange(4):
        case 0:
            generator.add(f"trait.alloc {order}")
        case 1:
            generator.add("trait.alloc_frame")
        case _:
            generator.add(f"buddy.alloc {order} {generator.rng.choice(['movable', 'unmovable'])}")


def release(generator: Generator) -> None:
    if held := generator.pick():
        generator.drop(held)
        name = generator.rng.choice(["release"] * 6 + ["buddy.free", "trait.free"])
        generator.add(f"{name} {{0}} {held.order}", held.got)
        if name == "release" and generator.rng.random() < 0.3:
            generator.add("vt.log")
            generator.add("vt.clear")


def drain(generator: Generator) -> None:
    generator.add("buddy.drain")


def exhaust(generator: Generator) -> None:
    """Take everything, the largest blocks as such, then give some single frames back."""
    for (_, _, order), blocks in generator.model.buddy.listed().items():
        for _ in blocks if order >= LARGE else ():
            generator.add(f"buddy.alloc {order} {generator.rng.choice(['movable', 'unmovable'])}")
    recipe = generator.recipe() if generator.rng.random() < 0.3 else "new zeroed=0"
    number = generator.add(f"alloc.all {recipe}")
    indices = generator.rng.sample(range(1 << 10), generator.rng.randrange(1, 40))
    for index in indices:
        generator.add("release {0} 0", Got(number, index))


def refer(generator: Generator) -> None:
    if held := generator.pick(claimed=True):
        names = generator.rng.choice((["inc_ref"], ["inc_ref", "dec_ref"], ["dec_ref"]))
        if "REF-07" in generator.avoid:
            names = ["inc_ref", "dec_ref"]
        for name in names:
            generator.add(f"slot.{name} {{0}}", held.got)


def swap_count(generator: Generator) -> None:
    if held := generator.pick(claimed=True):
        expected = generator.rng.choice((0, 1, 1, 1, 2, 3))
        generator.add(f"slot.cas_refcount {{0}} {expected} {generator.rng.randrange(1, 9)}", held.got)


def store_count(generator: Generator) -> None:
    if held := generator.pick(claimed=True):
        count = generator.rng.choice((1, 2, 7, 0x7FFF_FFFF, 0xFFFF_FFFD))
        generator.add(f"slot.set_refcount {{0}} {count:#x}", held.got)


def guard(generator: Generator) -> None:
    if held := generator.pick():
        name = generator.rng.choice(["set_guard", "fetch_or_guard"])
        bits = generator.rng.choice((0, 1, generator.rng.getrandbits(31)))
        generator.add(f"slot.{name} {{0}} {bits:#x}", generator.frame_of(held))


def poison_held(generator: Generator) -> None:
    if held := generator.pick():
        generator.add("slot.mark_poisoned {0}", generator.frame_of(held))


def hook(generator: Generator) -> None:
    if held := generator.pick():
        generator.add(f"slot.set_vtable_bits {{0}} @{generator.rng.choice(HOOKED)}", generator.frame_of(held))
        if generator.rng.random() < 0.5:
            generator.drop(held)
            generator.add(f"release {{0}} {held.order}", held.got)
            generator.add("vt.log")
            generator.add("vt.clear")


def invoke(generator: Generator) -> None:
    if held := generator.pick():
        name = generator.rng.choice(FOLLOWERS)
        generator.add(f"{name} {{0}}", held.got)
        if name.startswith("array."):
            generator.add("vt.log")
            generator.add("vt.clear")


def flags(generator: Generator) -> None:
    if held := generator.pick(claimed=True):
        bits = generator.rng.choice((0x500, 0x2907, generator.rng.getrandbits(32)))
        bits = (bits | C.flag_allocated) & ~(C.flag_free | C.flag_poisoned)
        generator.add(f"slot.set_flags {{0}} {bits:#x}", held.got)


def hint(generator: Generator) -> None:
    if held := generator.pick():
        generator.add(
            f"slot.meta_aux_store {{0}} {generator.rng.choice((0, generator.rng.getrandbits(32))):#x}",
            held.got,
        )


def dirty(generator: Generator) -> None:
    if held := generator.pick():
        generator.add(
            f"payload.fill {{0}} {generator.rng.choice((0xDE, 0xFF, 0x01)):#x}", generator.frame_of(held)
        )


def read(generator: Generator) -> None:
    operand = generator.frame_of(held) if (held := generator.pick()) else Cached(generator.rng.randrange(8))
    name = generator.rng.choice(
        ["get_refcount", "get_flags", "get_order", "get_guard", "generation", "vtable_bits", "next", "prev",
         "meta_aux_load", "is_guard_poisoned", "is_cow", "is_dll"]
    )  # fmt: skip
    match generator.rng.randrange(4):
        case 0:
            generator.add(f"array.matches {{0}} {generator.rng.randrange(4)}", operand)
        case 1:
            generator.add("array.snapshot {0}", operand)
        case 2 if held:
            generator.add(f"array.poisoned {{0}} {held.order}", held.got)
        case _:
            generator.add(f"slot.{name} {{0}}", operand)


def reset_slot(generator: Generator) -> None:
    if held := generator.pick(claimed=True):
        name = generator.rng.choice(["reset_with_free_list_meta", "note_new_allocation_epoch"])
        generator.add(f"slot.{name} {{0}}", held.got)


def refuse(generator: Generator) -> None:
    generator.add(f"inject buddy.refuse {generator.rng.randrange(1, 3)}")
    generator.add(f"alloc {generator.recipe()}")


# ---- what a broken one does -------------------------------------------------------------------------------


def refer_beyond(generator: Generator) -> None:
    """References to what nobody holds, or to one that is held as often as can be."""
    match generator.rng.randrange(3):
        case 0:
            generator.add(f"slot.{generator.rng.choice(['inc_ref', 'dec_ref'])} {{0}}", free_frame(generator))
        case 1:
            if held := generator.pick(claimed=True):
                generator.add("slot.reset_refcount {0}", held.got)
                generator.add("slot.dec_ref {0}", held.got)
        case _:
            if held := generator.pick(claimed=True):
                generator.add("slot.set_refcount {0} 0xfffffffe", held.got)
                generator.add("slot.inc_ref {0}", held.got)


def free_frame(generator: Generator) -> Operand:
    cached = Cached(generator.rng.randrange(4))
    listed = Listed(generator.rng.randrange(24), generator.rng.randrange(1 << 4))
    return cached if generator.rng.random() < 0.6 and generator.model.buddy.cached_frames() else listed


def poison_free(generator: Generator) -> None:
    generator.add("slot.mark_poisoned {0}", free_frame(generator))


def age(generator: Generator) -> None:
    """A frame close to the end of its generations."""
    operand = (
        held.got if (held := generator.pick()) and generator.rng.random() < 0.5 else free_frame(generator)
    )
    generator.add(f"slot.set_generation {{0}} {generator.rng.choice((0xFFFF_FFFF, 0xFFFF_FFFE)):#x}", operand)


def misalign(generator: Generator) -> None:
    if held := generator.pick():
        near = f"@{generator.rng.choice(HOOKED)}+{generator.rng.choice((1, 2, 4))}"
        bits = generator.rng.choice((near, near, "0x1", "0xffffffffffffffff"))
        generator.add(f"slot.set_vtable_bits {{0}} {bits}", held.got)
        if generator.rng.random() < 0.5:
            generator.drop(held)
            generator.add(f"release {{0}} {held.order}", held.got)
        else:
            generator.add(f"{generator.rng.choice(FOLLOWERS)} {{0}}", held.got)


def free_twice(generator: Generator) -> None:
    if generator.freed:
        generator.add("release {0} 0", generator.rng.choice(generator.freed))
    elif held := generator.pick():
        generator.drop(held)
        generator.add(f"release {{0}} {held.order}", held.got)
        generator.add(f"release {{0}} {held.order}", held.got)


def offer(generator: Generator) -> None:
    """The buddy hands out what somebody holds."""
    if held := generator.pick(claimed=True):
        if generator.rng.random() < 0.5:
            generator.add("payload.fill {0} 0xde", held.got)
        generator.add("inject buddy.next {0}", held.got)
        generator.add(f"alloc {generator.recipe()}")


def skip_stamp(generator: Generator) -> None:
    """A free that leaves the count of its holder."""
    if held := generator.pick(claimed=True):
        generator.drop(held)
        generator.add("inject buddy.nostamp 1")
        generator.add("release {0} 0", held.got)
        generator.add(f"alloc {generator.recipe()}")


@dataclass(frozen=True)
class Kind:
    """One kind of step; `provokes` names clauses that only a broken kernel puts to the test."""

    write: Callable[[Generator], None]
    weight: float
    provokes: tuple[str, ...] = ()
    always: bool = False


CLAIM = ("ALLOC-10", "ALLOC-15", "FREE-08")
KINDS = (
    Kind(alloc, 30, always=True),
    Kind(release, 22, always=True),
    Kind(take_block, 8),
    Kind(drain, 3),
    Kind(exhaust, 1),
    Kind(refer, 6),
    Kind(swap_count, 3),
    Kind(store_count, 1),
    Kind(guard, 4),
    Kind(poison_held, 2),
    Kind(hook, 4),
    Kind(invoke, 3),
    Kind(flags, 2),
    Kind(hint, 2),
    Kind(dirty, 5),
    Kind(read, 6),
    Kind(reset_slot, 1),
    Kind(refuse, 1),
    Kind(refer_beyond, 1, ("REF-07",)),
    Kind(poison_free, 2, ("GUARD-08",)),
    Kind(age, 2, ("GEN-03",)),
    Kind(misalign, 1, ("VT-03",)),
    Kind(free_twice, 0.7, CLAIM),
    Kind(offer, 0.7, CLAIM),
    Kind(skip_stamp, 0.7, CLAIM),
)
