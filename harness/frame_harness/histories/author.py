"""Writes random histories, from the model alone: what a kernel does, what a broken one does, at any time."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from frame_harness.contract.model import Model
from frame_harness.contract.model.slots import C
from frame_harness.contract.model.zones import MAX_ORDER
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
class Author:
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


def alloc(author: Author) -> None:
    author.add(f"alloc {author.recipe()}")


def take_block(author: Author) -> None:
    order = min(int(author.rng.expovariate(0.4)), MAX_ORDER + 1)
    match author.rng.randrange(4):
        case 0:
            author.add(f"trait.alloc {order}")
        case 1:
            author.add("trait.alloc_frame")
        case _:
            author.add(f"buddy.alloc {order} {author.rng.choice(['movable', 'unmovable'])}")


def release(author: Author) -> None:
    if held := author.pick():
        author.drop(held)
        name = author.rng.choice(["release"] * 6 + ["buddy.free", "trait.free"])
        author.add(f"{name} {{0}} {held.order}", held.got)
        if name == "release" and author.rng.random() < 0.3:
            author.add("vt.log")
            author.add("vt.clear")


def drain(author: Author) -> None:
    author.add("buddy.drain")


def exhaust(author: Author) -> None:
    """Take everything, the largest blocks as such, then give some single frames back."""
    for (_, _, order), blocks in author.model.buddy.listed().items():
        for _ in blocks if order >= LARGE else ():
            author.add(f"buddy.alloc {order} {author.rng.choice(['movable', 'unmovable'])}")
    recipe = author.recipe() if author.rng.random() < 0.3 else "new zeroed=0"
    number = author.add(f"alloc.all {recipe}")
    indices = author.rng.sample(range(1 << 10), author.rng.randrange(1, 40))
    for index in indices:
        author.add("release {0} 0", Got(number, index))


def refer(author: Author) -> None:
    if held := author.pick(claimed=True):
        names = author.rng.choice((["inc_ref"], ["inc_ref", "dec_ref"], ["dec_ref"]))
        if "REF-07" in author.avoid:
            names = ["inc_ref", "dec_ref"]
        for name in names:
            author.add(f"slot.{name} {{0}}", held.got)


def swap_count(author: Author) -> None:
    if held := author.pick(claimed=True):
        expected = author.rng.choice((0, 1, 1, 1, 2, 3))
        author.add(f"slot.cas_refcount {{0}} {expected} {author.rng.randrange(1, 9)}", held.got)


def store_count(author: Author) -> None:
    if held := author.pick(claimed=True):
        count = author.rng.choice((1, 2, 7, 0x7FFF_FFFF, 0xFFFF_FFFD))
        author.add(f"slot.set_refcount {{0}} {count:#x}", held.got)


def guard(author: Author) -> None:
    if held := author.pick():
        name = author.rng.choice(["set_guard", "fetch_or_guard"])
        bits = author.rng.choice((0, 1, author.rng.getrandbits(31)))
        author.add(f"slot.{name} {{0}} {bits:#x}", author.frame_of(held))


def poison_held(author: Author) -> None:
    if held := author.pick():
        author.add("slot.mark_poisoned {0}", author.frame_of(held))


def hook(author: Author) -> None:
    if held := author.pick():
        author.add(f"slot.set_vtable_bits {{0}} @{author.rng.choice(HOOKED)}", author.frame_of(held))
        if author.rng.random() < 0.5:
            author.drop(held)
            author.add(f"release {{0}} {held.order}", held.got)
            author.add("vt.log")
            author.add("vt.clear")


def invoke(author: Author) -> None:
    if held := author.pick():
        name = author.rng.choice(FOLLOWERS)
        author.add(f"{name} {{0}}", held.got)
        if name.startswith("array."):
            author.add("vt.log")
            author.add("vt.clear")


def flags(author: Author) -> None:
    if held := author.pick(claimed=True):
        bits = author.rng.choice((0x500, 0x2907, author.rng.getrandbits(32)))
        bits = (bits | C.flag_allocated) & ~(C.flag_free | C.flag_poisoned)
        author.add(f"slot.set_flags {{0}} {bits:#x}", held.got)


def hint(author: Author) -> None:
    if held := author.pick():
        author.add(
            f"slot.meta_aux_store {{0}} {author.rng.choice((0, author.rng.getrandbits(32))):#x}", held.got
        )


def dirty(author: Author) -> None:
    if held := author.pick():
        author.add(f"payload.fill {{0}} {author.rng.choice((0xDE, 0xFF, 0x01)):#x}", author.frame_of(held))


def read(author: Author) -> None:
    operand = author.frame_of(held) if (held := author.pick()) else Cached(author.rng.randrange(8))
    name = author.rng.choice(
        ["get_refcount", "get_flags", "get_order", "get_guard", "generation", "vtable_bits", "next", "prev",
         "meta_aux_load", "is_guard_poisoned", "is_cow", "is_dll"]
    )  # fmt: skip
    match author.rng.randrange(4):
        case 0:
            author.add(f"array.matches {{0}} {author.rng.randrange(4)}", operand)
        case 1:
            author.add("array.snapshot {0}", operand)
        case 2 if held:
            author.add(f"array.poisoned {{0}} {held.order}", held.got)
        case _:
            author.add(f"slot.{name} {{0}}", operand)


def reset_slot(author: Author) -> None:
    if held := author.pick(claimed=True):
        name = author.rng.choice(["reset_with_free_list_meta", "note_new_allocation_epoch"])
        author.add(f"slot.{name} {{0}}", held.got)


def refuse(author: Author) -> None:
    author.add(f"inject buddy.refuse {author.rng.randrange(1, 3)}")
    author.add(f"alloc {author.recipe()}")


# ---- what a broken one does -------------------------------------------------------------------------------


def refer_beyond(author: Author) -> None:
    """References to what nobody holds, or to one that is held as often as can be."""
    match author.rng.randrange(3):
        case 0:
            author.add(f"slot.{author.rng.choice(['inc_ref', 'dec_ref'])} {{0}}", free_frame(author))
        case 1:
            if held := author.pick(claimed=True):
                author.add("slot.reset_refcount {0}", held.got)
                author.add("slot.dec_ref {0}", held.got)
        case _:
            if held := author.pick(claimed=True):
                author.add("slot.set_refcount {0} 0xfffffffe", held.got)
                author.add("slot.inc_ref {0}", held.got)


def free_frame(author: Author) -> Operand:
    cached = Cached(author.rng.randrange(4))
    listed = Listed(author.rng.randrange(24), author.rng.randrange(1 << 4))
    return cached if author.rng.random() < 0.6 and author.model.buddy.cached_frames() else listed


def poison_free(author: Author) -> None:
    author.add("slot.mark_poisoned {0}", free_frame(author))


def age(author: Author) -> None:
    """A frame close to the end of its generations."""
    operand = held.got if (held := author.pick()) and author.rng.random() < 0.5 else free_frame(author)
    author.add(f"slot.set_generation {{0}} {author.rng.choice((0xFFFF_FFFF, 0xFFFF_FFFE)):#x}", operand)


def misalign(author: Author) -> None:
    if held := author.pick():
        near = f"@{author.rng.choice(HOOKED)}+{author.rng.choice((1, 2, 4))}"
        bits = author.rng.choice((near, near, "0x1", "0xffffffffffffffff"))
        author.add(f"slot.set_vtable_bits {{0}} {bits}", held.got)
        if author.rng.random() < 0.5:
            author.drop(held)
            author.add(f"release {{0}} {held.order}", held.got)
        else:
            author.add(f"{author.rng.choice(FOLLOWERS)} {{0}}", held.got)


def free_twice(author: Author) -> None:
    if author.freed:
        author.add("release {0} 0", author.rng.choice(author.freed))
    elif held := author.pick():
        author.drop(held)
        author.add(f"release {{0}} {held.order}", held.got)
        author.add(f"release {{0}} {held.order}", held.got)


def offer(author: Author) -> None:
    """The buddy hands out what somebody holds."""
    if held := author.pick(claimed=True):
        if author.rng.random() < 0.5:
            author.add("payload.fill {0} 0xde", held.got)
        author.add("inject buddy.next {0}", held.got)
        author.add(f"alloc {author.recipe()}")


def skip_stamp(author: Author) -> None:
    """A free that leaves the count of its holder."""
    if held := author.pick(claimed=True):
        author.drop(held)
        author.add("inject buddy.nostamp 1")
        author.add("release {0} 0", held.got)
        author.add(f"alloc {author.recipe()}")


@dataclass(frozen=True)
class Kind:
    """One kind of step; `provokes` names clauses that only a broken kernel puts to the test."""

    write: Callable[[Author], None]
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
