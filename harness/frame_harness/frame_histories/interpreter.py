"""Tells what a command must do, by asking the reference model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from frame_harness.base.units import Paddr, Pfn, frames_from, paddr_to_pfn
from frame_harness.frame_histories.commands import (
    ALLOCATES,
    FOLLOWS_VTABLE,
    GIVES_BACK,
    READS_FIELD,
    TAKES,
    VTABLES,
    WRITES_SLOT,
    Command,
    Op,
    Recipe,
)
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.frame_metadata.model import (
    Done,
    Fail,
    HookCall,
    Model,
    ModelResult,
    Panic,
    PanicKind,
    Vtable,
)
from frame_harness.frame_metadata.model.outcome import Panicked

LAST_GENERATION = 2**32 - 1


class Prediction(NamedTuple):
    """What one command must come to."""

    outcome: ModelResult
    """As the model says."""
    payload: Mapping[Pfn, int] = MappingProxyType({})
    """The byte that fills a frame from now on, by pfn; all other frames keep what they hold."""
    frames: frozenset[Pfn] = frozenset()
    """Pfns that the command is about: named by it, handed out or quarantined."""
    wrapped: frozenset[Pfn] = frozenset()
    """Pfns on which a life begins whose generation follows the last one."""
    poison_met: frozenset[Pfn] = frozenset()
    """Pfns that the command had to put into quarantine although nobody freed them."""
    quarantined: frozenset[Pfn] = frozenset()
    """Pfns of a poisoned block that the command gave back."""
    follows_misaligned: bool = False
    """It looks at vtable bits that can be no vtable's address."""
    hooks: tuple[HookCall, ...] | None = None
    """What the record of hooks must show, where the command shows it."""
    sound: bool = True
    """Whether the lists are still in order by the contract's own rules."""
    claim_rejected: bool = False
    """Whether this command or one before it had to reject a claim."""


def set_of_vtables(addresses: Mapping[str, int]) -> dict[int, Vtable]:
    """The model's vtables, from the addresses that the guest gives by name."""
    return {address: VTABLES[name] for name, address in addresses.items()}


Handler = Callable[..., ModelResult]
"""Takes the model, then the operands of a command."""


def _reads(field: str) -> Handler:
    return lambda model, paddr: Done({"v": getattr(model.slot(paddr), field)})


def _flag(bit: int, field: str) -> Handler:
    return lambda model, paddr: Done({"v": int(bool(getattr(model.slot(paddr), field) & bit))})


def _offer(model: Model, paddr: Paddr) -> ModelResult:
    model.buddy.faults.next_pfn = paddr_to_pfn(paddr)
    return Done()


def _refuse(model: Model, requests: int) -> ModelResult:
    model.buddy.faults.refusals = requests
    return Done()


def _skip_stamps(model: Model, frees: int) -> ModelResult:
    model.buddy.faults.missing_stamps = frees
    return Done()


def _clear_faults(model: Model) -> ModelResult:
    faults = model.buddy.faults
    faults.next_pfn, faults.refusals, faults.missing_stamps = None, 0, 0
    return Done()


def _matches(model: Model, paddr: Paddr, generation: int) -> ModelResult:
    return Done({"v": int(model.slot(paddr).generation == generation)})


def _poisoned(model: Model, paddr: Paddr, order: int) -> ModelResult:
    frames = frames_from(paddr_to_pfn(paddr), 1 << order)
    return Done({"v": int(any(model.slots[pfn].is_poisoned for pfn in frames))})


def _snapshot(model: Model, paddr: Paddr) -> ModelResult:
    slot = model.slot(paddr)
    return Done({"generation": slot.generation, "guard": slot.guard, "vtable": slot.vtable})


def _try_vtable(model: Model, paddr: Paddr) -> ModelResult:
    bits = model.slot(paddr).vtable
    if bits % 8:
        return Done({"some": 0})
    return Done({"some": 1, "addr": bits} if bits else {"some": 1, "default": 1})


def _vtable(model: Model, paddr: Paddr) -> ModelResult:
    bits = model.slot(paddr).vtable
    return Done({"default": 1} if bits == 0 or bits % 8 else {"addr": bits, "default": 0})


def _hook(name: str) -> Handler:
    return lambda model, paddr: _invoke(model, name, paddr)


def _invoke(model: Model, hook: str, paddr: Paddr) -> ModelResult:
    """A hook is called when the vtable's bits are an address that a vtable can have, and name one (VT-04)."""
    bits = model.slot(paddr).vtable
    if bits and bits % 8 == 0 and getattr(model.vtables[bits], hook):
        model.hook_calls.append(HookCall(hook, paddr))
    return Done()


def _forget_hooks(model: Model) -> ModelResult:
    model.hook_calls.clear()
    return Done()


HANDLERS: Mapping[Op, Handler] = {
    Op.ALLOC: lambda model, recipe: model.alloc(recipe.options),
    Op.ALLOC_ALL: lambda model, recipe: model.alloc_all(recipe.options),
    Op.BUDDY_ALLOC: Model.buddy_alloc,
    Op.TRAIT_ALLOC: lambda model, order: model.buddy_alloc(order, Migratetype.UNMOVABLE),
    Op.TRAIT_ALLOC_FRAME: lambda model: model.buddy_alloc(0, Migratetype.UNMOVABLE),
    Op.RELEASE: Model.release,
    Op.BUDDY_FREE: Model.buddy_free,
    Op.TRAIT_FREE: Model.buddy_free,
    Op.DRAIN: Model.drain,
    Op.OFFER: _offer,
    Op.REFUSE: _refuse,
    Op.SKIP_STAMPS: _skip_stamps,
    Op.CLEAR_FAULTS: _clear_faults,
    # The model's methods have the names of the module's.
    **{op: getattr(Model, op.method) for op in WRITES_SLOT - {Op.META_AUX_STORE}},
    Op.META_AUX_STORE: Model.set_meta_aux,
    **{op: _reads(field) for op, field in READS_FIELD.items()},
    Op.IS_GUARD_POISONED: _flag(C.guard_poisoned, "guard"),
    Op.IS_COW: _flag(C.flag_cow, "flags"),
    Op.IS_DLL: _flag(C.flag_dll, "flags"),
    Op.TRY_VTABLE_REF: _try_vtable,
    Op.VTABLE_REF: _vtable,
    Op.SNAPSHOT: _snapshot,
    Op.MATCHES: _matches,
    Op.POISONED: _poisoned,
    Op.UNMAP: _hook("on_unmap"),
    Op.LAST_REF: _hook("on_last_ref"),
    Op.HOOK_LOG: lambda _model: Done(),
    Op.HOOK_CLEAR: _forget_hooks,
    Op.FILL: Model.fill_payload,
}
BREAKS_LISTS = frozenset({Op.SKIP_STAMPS, Op.SET_ORDER, Op.SET_NEXT, Op.SET_PREV})
# What anybody may do to a free frame at any time.
HARMLESS = frozenset({Op.MARK_POISONED, Op.SET_GENERATION, Op.INC_REF, Op.DEC_REF, Op.META_AUX_STORE})
CLEARS_GUARD = frozenset({Op.SET_GUARD, Op.NOTE_NEW_ALLOCATION_EPOCH})
OF_THE_OWNER = (GIVES_BACK | WRITES_SLOT | {Op.FILL}) - HARMLESS


class Interpreter:
    """Follows a history on the model, command by command."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.sound = True
        """Whether the user of the frames has kept to the rules, so that all invariants must hold."""
        self.claim_rejected = False
        """Whether a claim had to be rejected so far."""
        self.rewound = False
        """Whether a generation was set by hand, or poison cleared, since somebody last asked."""
        self._aged: set[Pfn] = set()
        self._quarantined = frozenset(model.buddy.quarantined)

    def follow(self, command: Command) -> Prediction:
        """Carry a command out on the model; returns what a guest must make of it.

        Args:
            command: with the addresses of this build's vtables.
        """
        op, model = command.op, self.model
        frames = command.frames
        misaligned = op in FOLLOWS_VTABLE and any(
            model.slots[pfn].vtable % 8 for pfn in frames if pfn < model.slots.n_frames
        )
        aged = self._about_to_wrap(command)
        self._notice_abuse(command, frames)
        named = {*frames, *self._offered(op)}
        model.payload = {}
        try:
            outcome = self._carry_out(command)
        except Panicked as panicked:  # of what only looks at a slot
            outcome = panicked.panic
        self.claim_rejected |= isinstance(outcome, Panic) and outcome.kind is PanicKind.CLAIM
        fresh = self._newly_quarantined()
        met = fresh if op in ALLOCATES else frozenset()
        if isinstance(outcome, Done) and "paddr" in outcome.values:
            named |= {paddr_to_pfn(Paddr(outcome.values["paddr"]))}
        return Prediction(
            outcome=outcome,
            payload=model.payload,
            frames=frozenset(named | met),
            wrapped=frozenset(pfn for pfn in aged if model.slots[pfn].generation != LAST_GENERATION),
            poison_met=met,
            quarantined=fresh if op in GIVES_BACK else frozenset(),
            follows_misaligned=misaligned,
            hooks=tuple(model.hook_calls) if op is Op.HOOK_LOG else None,
            sound=self.sound,
            claim_rejected=self.claim_rejected,
        )

    def _carry_out(self, command: Command) -> ModelResult:
        match command:
            case Command(Op.ALLOC_ALL, (Recipe() as recipe,)):
                return self.model.alloc_all(recipe.options, orderly=self.sound)
        return HANDLERS[command.op](self.model, *command.operands)

    def _newly_quarantined(self) -> frozenset[Pfn]:
        """The frames that went into quarantine since the last command; none ever leaves it."""
        before, quarantined = self._quarantined, self.model.buddy.quarantined
        if len(quarantined) == len(before):
            return frozenset()
        self._quarantined = frozenset(quarantined)
        return self._quarantined - before

    def _offered(self, op: Op) -> set[Pfn]:
        """The frames that the buddy may offer first; a claim must not spoil one that it rejects."""
        if op not in ALLOCATES:
            return set()
        buddy = self.model.buddy
        tops = {frames[-1] for frames in buddy.caches.values() if frames}
        return tops if buddy.faults.next_pfn is None else {buddy.faults.next_pfn}

    def _about_to_wrap(self, command: Command) -> set[Pfn]:
        """Frames at their last generation that may begin a life; those that were told so are known."""
        if command.op is Op.SET_GENERATION:
            self._aged |= set(command.frames)
        if command.op not in ALLOCATES | {Op.NOTE_NEW_ALLOCATION_EPOCH}:
            return set()
        return {pfn for pfn in self._aged if self.model.slots[pfn].generation == LAST_GENERATION}

    def _clears_poison(self, op: Op, frames: Sequence[Pfn]) -> bool:
        """Whether a holder takes poison away; the buddy may have handed out what was poisoned while free."""
        slots = self.model.slots
        return op in CLEARS_GUARD and any(pfn < slots.n_frames and slots[pfn].is_poisoned for pfn in frames)

    def _is_free(self, frames: Sequence[Pfn]) -> bool:
        """Whether a frame is nobody's: it says free, or lies in quarantine."""
        slots, quarantined = self.model.slots, self.model.buddy.quarantined
        return any(pfn in quarantined or (pfn < slots.n_frames and slots[pfn].says_free) for pfn in frames)

    def _flags_contradict(self, command: Command) -> bool:
        """Whether a holder writes flags of another owner than the rest of the slot shows.

        A block of the buddy's has no count of holders, and may have an order: it is no frame of the kernel's
        or of a process. A holder meets one where somebody else gave his frame back.
        """
        if command.op is not Op.SET_FLAGS:
            return False
        paddr, flags = command.operands
        assert isinstance(paddr, int) and isinstance(flags, int)
        if flags & (C.flag_allocated | C.flag_free) != C.flag_allocated:
            return True
        pfn = paddr_to_pfn(Paddr(paddr))
        if not flags & (C.flag_kernel | C.flag_user) or pfn >= self.model.slots.n_frames:
            return False
        slot = self.model.slots[pfn]
        return slot.refcount == C.refcount_unused or slot.order != 0

    def _takes_what_says_free(self, command: Command) -> bool:
        """Whether the buddy hands a chosen frame out without a claim, whose slot still says free then."""
        faults = self.model.buddy.faults
        if command.op not in TAKES or faults.next_pfn is None or faults.refusals:
            return False
        order = command.operands[0] if command.operands else 0
        return order == 0 and self.model.slots[faults.next_pfn].says_free

    def _notice_abuse(self, command: Command, frames: Sequence[Pfn]) -> None:
        """A user who frees twice, offers frames in use or writes to free frames breaks the lists himself."""
        op = command.op
        abused = op in OF_THE_OWNER and (self._is_free(frames) or C.refcount_unused in command.operands[1:])
        # A frame in quarantine has the count 0, from which a reference leads back into use.
        abused |= op is Op.INC_REF and not self.model.buddy.quarantined.isdisjoint(frames)
        abused |= self._flags_contradict(command) or self._takes_what_says_free(command)
        self.rewound = self.rewound or op is Op.SET_GENERATION or self._clears_poison(op, frames)
        self.sound = self.sound and not (abused or op in BREAKS_LISTS)


def is_refusal(outcome: ModelResult) -> bool:
    """Whether the console refuses such a command before the subject sees it."""
    kinds = (PanicKind.NOT_A_BLOCK, PanicKind.OUT_OF_BOUNDS)
    return isinstance(outcome, Panic) and outcome.kind in kinds


def expected_status(outcome: ModelResult) -> str:
    """The word that the reply of such an outcome begins with."""
    if isinstance(outcome, Done):
        return "ok"
    return "fail" if isinstance(outcome, Fail) else "panic"
