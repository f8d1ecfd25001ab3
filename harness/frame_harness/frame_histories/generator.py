"""Writes random histories, from the model alone: what a kernel does, what a broken one does, at any time."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from frame_harness.base.units import Paddr
from frame_harness.frame_histories.commands import (
    ALLOCATES,
    READS_FIELD,
    STARTS,
    VTABLES,
    CommandOperand,
    Op,
    Recipe,
    VtableAt,
)
from frame_harness.frame_histories.steps import Cached, Got, Listed, OperandOrigin, Step
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.frame_metadata.model import KERNEL_DATA, PAGE_TABLE, USER_DATA, Model, Purpose, custom
from frame_harness.frame_metadata.model.zones import MAX_ORDER

HOOKED = tuple(VTABLES)
FOLLOWERS = (Op.UNMAP, Op.LAST_REF, Op.TRY_VTABLE_REF, Op.VTABLE_REF)
MIGRATETYPES = (Migratetype.MOVABLE, Migratetype.UNMOVABLE)
READS = (*READS_FIELD, Op.IS_GUARD_POISONED, Op.IS_COW, Op.IS_DLL)
LARGE = 9  # from this order on a block is taken whole: frame by frame it would take too long
MOST_HELD, MOST_FREED = 400, 24


@dataclass(frozen=True)
class Held:
    """A block that somebody holds; `claimed` when it came from the frame module."""

    got: Got
    order: int
    claimed: bool


@dataclass
class Generator:
    """Chooses one step after the other.

    Each history uses a subset of the kinds of steps: a bug that a full mixture hides shows in a small one.
    What provokes a clause in `avoid` is left out, so that a known finding hides no other.
    """

    rng: random.Random
    avoid: Collection[str] = ()
    held: list[Held] = field(default_factory=list)
    freed: list[Got] = field(default_factory=list)
    first: int = 0  # number of its first step
    focus: Held | None = None
    """The block that most steps are about, life after life of its frame; None for any."""

    def __post_init__(self) -> None:
        self._number = self.first
        self._queue: deque[Step] = deque()
        self._model: Model | None = None
        self._follows = False
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

    def note(self, step: Step, handed_out: tuple[Paddr, ...]) -> None:
        """Learn what a step handed out."""
        claimed = step.op in ALLOCATES
        asked = step.operands[0] if step.op in (Op.BUDDY_ALLOC, Op.TRAIT_ALLOC) else 0
        order = asked if isinstance(asked, int) else 0
        last = range(len(handed_out))[-4 * MOST_HELD :]  # no history comes to the first of thousands
        new = [Held(Got(step.number, index), order, claimed) for index in last]
        self.held += new
        if self._follows and claimed and new:
            self.focus, self._follows = new[0], False  # most likely the frame that was given back last

    @property
    def model(self) -> Model:
        """The model that the next step is written for; raises ValueError before the first step."""
        if self._model is None:
            raise ValueError("no state to write for")
        return self._model

    def add(self, op: Op, *operands: CommandOperand | OperandOrigin) -> int:
        """Append a step; returns its number."""
        self._queue.append(Step(self._number, op, operands))
        self._number += 1
        return self._number - 1

    def release(self, held: Held, op: Op = Op.RELEASE) -> None:
        """Append the step that gives a block back."""
        self.drop(held)
        self.add(op, held.got, held.order)

    def show_hooks(self) -> None:
        """Append the steps that show the record of hooks, then empty it."""
        self.add(Op.HOOK_LOG)
        self.add(Op.HOOK_CLEAR)

    # ---- choosing ----------------------------------------------------------------------------------------

    def pick(self, *, claimed: bool = False) -> Held | None:
        """A block that is held, rather a recent one."""
        blocks = [held for held in self.held[-MOST_HELD:] if held.claimed or not claimed]
        if not blocks:
            return None
        if self.focus is not None and self.focus in blocks and self.rng.random() < FOCUSED:
            return self.focus
        return self.rng.choice(blocks[-8:] if self.rng.random() < RECENT else blocks)

    def frame_of(self, held: Held) -> Got:
        """One frame of a block."""
        return Got(held.got.step, held.got.index, self.rng.randrange(1 << held.order))

    def drop(self, held: Held) -> None:
        """Take a block from those held to those given back, of which the last few are kept."""
        at = next(at for at in reversed(range(len(self.held))) if self.held[at] is held)
        del self.held[at]
        self._follows = self._follows or held is self.focus
        self.freed = [*self.freed[-MOST_FREED:], held.got]

    def recipe(self) -> Recipe:
        """Builder calls in any order."""
        start = self.rng.choice(STARTS)
        calls: list[bool | Purpose] = []
        for _ in range(self.rng.choice((0, 0, 1, 1, 2, 2, 3))):
            if self.rng.random() < 0.5:
                calls.append(bool(self.rng.randrange(2)))
            else:
                flags = self.rng.choice((0, C.flag_movable, self.rng.getrandbits(32)))
                flags &= ~(C.flag_free | C.flag_poisoned)
                calls.append(self.rng.choice((PAGE_TABLE, KERNEL_DATA, USER_DATA, custom(flags))))
        # A known finding may leave page tables unzeroed.
        if {"ALLOC-06", "ALLOC-07"} & set(self.avoid) and PAGE_TABLE in calls:
            calls = [call for call in calls if call is not False]
        return Recipe(start, tuple(calls))


KEPT = 0.75  # chance that a history has steps of a kind at all
RECENT = 0.6
FOCUSED = 0.75

# ---- what a kernel does -----------------------------------------------------------------------------------


def _alloc(generator: Generator) -> None:
    generator.add(Op.ALLOC, generator.recipe())


def _take_block(generator: Generator) -> None:
    """Take a block from the buddy without a claim; now and then of an order that no block has."""
    order = min(int(generator.rng.expovariate(0.4)), MAX_ORDER + 1)
    match generator.rng.randrange(4):
        case 0:
            generator.add(Op.TRAIT_ALLOC, order)
        case 1:
            generator.add(Op.TRAIT_ALLOC_FRAME)
        case _:
            generator.add(Op.BUDDY_ALLOC, order, generator.rng.choice(MIGRATETYPES))


def _release(generator: Generator) -> None:
    """Give a block back, mostly through the frame module, and now and then show which hooks were called."""
    if held := generator.pick():
        op = generator.rng.choice([Op.RELEASE] * 6 + [Op.BUDDY_FREE, Op.TRAIT_FREE])
        generator.release(held, op)
        if op is Op.RELEASE and generator.rng.random() < 0.3:
            generator.show_hooks()


def _drain(generator: Generator) -> None:
    generator.add(Op.DRAIN)


def _exhaust(generator: Generator) -> None:
    """Take everything, the largest blocks as such, then give some single frames back."""
    for (_, _, order), blocks in generator.model.buddy.listed().items():
        for _ in blocks if order >= LARGE else ():
            generator.add(Op.BUDDY_ALLOC, order, generator.rng.choice(MIGRATETYPES))
    recipe = generator.recipe() if generator.rng.random() < 0.3 else Recipe("new", (False,))
    number = generator.add(Op.ALLOC_ALL, recipe)
    for index in generator.rng.sample(range(1 << 10), generator.rng.randrange(1, 40)):
        generator.add(Op.RELEASE, Got(number, index), 0)


def _refer(generator: Generator) -> None:
    if held := generator.pick(claimed=True):
        ops = generator.rng.choice(([Op.INC_REF], [Op.INC_REF, Op.DEC_REF], [Op.DEC_REF]))
        for op in [Op.INC_REF, Op.DEC_REF] if "REF-07" in generator.avoid else ops:
            generator.add(op, held.got)


def _swap_count(generator: Generator) -> None:
    """Compare and exchange a count, expecting a small number that is often the right one."""
    if held := generator.pick(claimed=True):
        expected = generator.rng.choice((0, 1, 1, 1, 2, 3))
        generator.add(Op.CAS_REFCOUNT, held.got, expected, generator.rng.randrange(1, 9))


def _store_count(generator: Generator) -> None:
    """Store a count that leaves room for one more reference."""
    if held := generator.pick(claimed=True):
        count = generator.rng.choice((1, 2, 7, 2**31 - 1, C.refcount_unused - 2))
        generator.add(Op.SET_REFCOUNT, held.got, count)


def _guard(generator: Generator) -> None:
    """Replace all bits of a guard, or set some; the mark of poison is never among them."""
    if held := generator.pick():
        op = generator.rng.choice((Op.SET_GUARD, Op.FETCH_OR_GUARD))
        bits = generator.rng.choice((0, 1, generator.rng.getrandbits(31)))
        generator.add(op, generator.frame_of(held), bits)


def _poison_held(generator: Generator) -> None:
    if held := generator.pick():
        generator.add(Op.MARK_POISONED, generator.frame_of(held))


def _hook(generator: Generator) -> None:
    if held := generator.pick():
        vtable = VtableAt(generator.rng.choice(HOOKED))
        generator.add(Op.SET_VTABLE_BITS, generator.frame_of(held), vtable)
        if generator.rng.random() < 0.5:
            generator.release(held)
            generator.show_hooks()


def _invoke(generator: Generator) -> None:
    """Ask for the vtable of a frame, or for a call of its hooks."""
    if held := generator.pick():
        op = generator.rng.choice(FOLLOWERS)
        generator.add(op, held.got)
        if op in (Op.UNMAP, Op.LAST_REF):
            generator.show_hooks()


def _flags(generator: Generator) -> None:
    """Replace the flags of a frame; it stays allocated, neither free nor poisoned."""
    if held := generator.pick(claimed=True):
        mapped = C.flag_user | C.flag_movable | C.flag_cow | C.flag_dll | C.flag_anonymous
        bits = generator.rng.choice((C.flag_kernel, mapped, generator.rng.getrandbits(32)))
        bits = (bits | C.flag_allocated) & ~(C.flag_free | C.flag_poisoned)
        generator.add(Op.SET_FLAGS, held.got, bits)


def _hint(generator: Generator) -> None:
    """Store a number in `meta_aux`."""
    if held := generator.pick():
        value = generator.rng.choice((0, generator.rng.getrandbits(32)))
        generator.add(Op.META_AUX_STORE, held.got, value)


def _dirty(generator: Generator) -> None:
    """Fill a frame with one byte; which ones is ours to say."""
    if held := generator.pick():
        byte = generator.rng.choice((0xDE, 0xFF, 0x01))
        generator.add(Op.FILL, generator.frame_of(held), byte)


def _read(generator: Generator) -> None:
    """Ask for something about a frame, held or cached, without a change to it."""
    frame = generator.frame_of(held) if (held := generator.pick()) else Cached(generator.rng.randrange(8))
    op = generator.rng.choice(READS)
    match generator.rng.randrange(4):
        case 0:
            generator.add(Op.MATCHES, frame, generator.rng.randrange(4))
        case 1:
            generator.add(Op.SNAPSHOT, frame)
        case 2 if held:
            generator.add(Op.POISONED, held.got, held.order)
        case _:
            generator.add(op, frame)


def _reset_slot(generator: Generator) -> None:
    """Do to a frame in use what the subject does to one that begins or ends a life."""
    if held := generator.pick(claimed=True):
        resets = (Op.RESET_WITH_FREE_LIST_META, Op.NOTE_NEW_ALLOCATION_EPOCH)
        generator.add(generator.rng.choice(resets), held.got)


def _refuse(generator: Generator) -> None:
    """Let the buddy refuse once or twice, then allocate."""
    generator.add(Op.REFUSE, generator.rng.randrange(1, 3))
    generator.add(Op.ALLOC, generator.recipe())


# ---- what a broken one does -------------------------------------------------------------------------------


def _refer_beyond(generator: Generator) -> None:
    """References to what nobody holds, or to one that is held as often as can be."""
    match generator.rng.randrange(3):
        case 0:
            op = generator.rng.choice((Op.INC_REF, Op.DEC_REF))
            generator.add(op, _free_frame(generator))
        case 1:
            if held := generator.pick(claimed=True):
                generator.add(Op.RESET_REFCOUNT, held.got)
                generator.add(Op.DEC_REF, held.got)
        case _:
            if held := generator.pick(claimed=True):
                generator.add(Op.SET_REFCOUNT, held.got, C.refcount_unused - 1)
                generator.add(Op.INC_REF, held.got)


def _free_frame(generator: Generator) -> OperandOrigin:
    """A free frame, cached or listed; which one is settled when the step is played."""
    cached = Cached(generator.rng.randrange(4))
    listed = Listed(generator.rng.randrange(24), generator.rng.randrange(1 << 4))
    return cached if generator.rng.random() < 0.6 and generator.model.buddy.cached_frames() else listed


def _poison_free(generator: Generator) -> None:
    generator.add(Op.MARK_POISONED, _free_frame(generator))


def _age(generator: Generator) -> None:
    """A frame close to the end of its generations."""
    held = generator.pick()
    frame = held.got if held and generator.rng.random() < 0.5 else _free_frame(generator)
    generator.add(Op.SET_GENERATION, frame, generator.rng.choice((2**32 - 1, 2**32 - 2)))


def _misalign(generator: Generator) -> None:
    """A vtable's address with low bits set, or bits that are no address; then what calls its hooks."""
    if held := generator.pick():
        near = VtableAt(generator.rng.choice(HOOKED), generator.rng.choice((1, 2, 4)))
        generator.add(Op.SET_VTABLE_BITS, held.got, generator.rng.choice((near, near, 1, 2**64 - 1)))
        if generator.rng.random() < 0.5:
            generator.release(held)
        else:
            generator.add(generator.rng.choice(FOLLOWERS), held.got)


def _free_twice(generator: Generator) -> None:
    """Give back what was given back, a recent one where there is any."""
    if generator.freed:
        generator.add(Op.RELEASE, generator.rng.choice(generator.freed), 0)
    elif held := generator.pick():
        generator.release(held)
        generator.add(Op.RELEASE, held.got, held.order)


def _offer(generator: Generator) -> None:
    """The buddy hands out what somebody holds, dirty now and then (with a byte of ours)."""
    if held := generator.pick(claimed=True):
        if generator.rng.random() < 0.5:
            generator.add(Op.FILL, held.got, 0xDE)
        generator.add(Op.OFFER, held.got)
        generator.add(Op.ALLOC, generator.recipe())


def _skip_stamp(generator: Generator) -> None:
    """A free that leaves the count of its holder."""
    if held := generator.pick(claimed=True):
        generator.drop(held)
        generator.add(Op.SKIP_STAMPS, 1)
        generator.add(Op.RELEASE, held.got, 0)
        generator.add(Op.ALLOC, generator.recipe())


@dataclass(frozen=True)
class _Kind:
    """One kind of step; `provokes` names clauses that only a broken kernel puts to the test."""

    write: Callable[[Generator], None]
    weight: float
    provokes: tuple[str, ...] = ()
    always: bool = False


CLAIM = ("ALLOC-10", "ALLOC-15", "FREE-08")
KINDS = (
    _Kind(_alloc, 30, always=True), _Kind(_release, 22, always=True), _Kind(_take_block, 8), _Kind(_drain, 3),
    _Kind(_exhaust, 1), _Kind(_refer, 6), _Kind(_swap_count, 3), _Kind(_store_count, 1), _Kind(_guard, 4),
    _Kind(_poison_held, 2), _Kind(_hook, 4), _Kind(_invoke, 3), _Kind(_flags, 2), _Kind(_hint, 2),
    _Kind(_dirty, 5), _Kind(_read, 6), _Kind(_reset_slot, 1), _Kind(_refuse, 1),
    _Kind(_refer_beyond, 1, ("REF-07",)), _Kind(_poison_free, 2, ("GUARD-08",)), _Kind(_age, 2, ("GEN-03",)),
    _Kind(_misalign, 1, ("VT-03",)), _Kind(_free_twice, 0.7, CLAIM), _Kind(_offer, 0.7, CLAIM),
    _Kind(_skip_stamp, 0.7, CLAIM),
)  # fmt: skip
