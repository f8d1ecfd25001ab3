"""Tells what a console command must do, by asking the reference model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from frame_harness.base.errors import UsageError
from frame_harness.base.units import PAGE_SHIFT, PAGE_SIZE
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.frame_metadata.model import (
    KERNEL_DATA,
    PAGE_TABLE,
    USER_DATA,
    AllocOptions,
    Done,
    Fail,
    HookCall,
    Model,
    ModelResult,
    Panic,
    PanicKind,
    Purpose,
    Vtable,
    custom,
)
from frame_harness.frame_metadata.model.outcome import Panicked
from frame_harness.machine.schema import nearest

MIGRATETYPES = {"movable": Migratetype.MOVABLE, "unmovable": Migratetype.UNMOVABLE}
PURPOSES = {"pagetable": PAGE_TABLE, "kernel": KERNEL_DATA, "user": USER_DATA}
VTABLES = {
    "both": Vtable(on_last_ref=True, on_unmap=True),
    "unmap": Vtable(on_last_ref=False, on_unmap=True),
    "lastref": Vtable(on_last_ref=True, on_unmap=False),
    "empty": Vtable(on_last_ref=False, on_unmap=False),
}
"""The shim's recording vtables by the name that `vt.addr` knows."""
LAST_GENERATION = 2**32 - 1
ORDERS = 21
"""How many orders a command may name: no block has the last of them, and its frames can still be counted."""


class ScriptError(UsageError):
    """A line that is no command whose effect the model knows."""


@dataclass(frozen=True)
class Prediction:
    """What one command must come to.

    Args:
        outcome: as the model says.
        payload: the byte that fills a frame from now on, by pfn; all other frames keep what they hold.
        frames: pfns that the command is about: named by it, handed out or quarantined.
        wrapped: pfns on which a life begins whose generation follows the last one.
        poison_met: pfns that the command had to put into quarantine although nobody freed them.
        follows_misaligned: it looks at vtable bits that can be no vtable's address.
        hooks: what the record of hooks must show, where the command shows it.
        sound: whether the lists are still in order by the contract's own rules.
        claim_rejected: whether this command or one before it had to reject a claim.
    """

    outcome: ModelResult
    payload: Mapping[int, int] = field(default_factory=dict)
    frames: frozenset[int] = frozenset()
    wrapped: frozenset[int] = frozenset()
    poison_met: frozenset[int] = frozenset()
    follows_misaligned: bool = False
    hooks: tuple[HookCall, ...] | None = None
    sound: bool = True
    claim_rejected: bool = False


@dataclass(frozen=True)
class Words:
    """A command line in its parts."""

    line: str
    name: str
    args: tuple[str, ...]

    @classmethod
    def of(cls, line: str) -> Words:
        name, *args = line.split()
        return cls(line, name, tuple(args))

    def number(self, index: int, below: int = 1 << 64) -> int:
        try:
            value = int(self.args[index], 0)
        except (IndexError, ValueError) as error:
            raise ScriptError("command", self.line, expected=f"a number as argument {index + 1}") from error
        if not 0 <= value < below:
            raise ScriptError(
                "command",
                self.line,
                expected=f"0 to {below - 1:#x} as argument {index + 1}",
                actual=f"{value:#x}",
            )
        return value

    def word(self, index: int, known: Mapping[str, object]) -> str:
        word = self.args[index] if index < len(self.args) else ""
        if word not in known:
            raise ScriptError("command", self.line, expected=" or ".join(known), actual=repr(word))
        return word


def options_of(args: tuple[str, ...]) -> AllocOptions:
    """The builder calls of an `alloc` command, in order.

    Raises:
        ScriptError: one of them is none.
    """
    calls = [_builder_call(word) for word in args if word not in ("new", "default")]
    return AllocOptions(tuple(calls))


def _builder_call(word: str) -> bool | Purpose:
    key, _, value = word.partition("=")
    if key == "zeroed" and value in ("0", "1"):
        return value == "1"
    if key == "purpose" and value in PURPOSES:
        return PURPOSES[value]
    if key == "purpose" and value.startswith("custom:"):
        number = Words(word, key, (value.removeprefix("custom:"),))
        return custom(number.number(0, below=1 << 32))
    wanted = f"zeroed=0|1 or purpose={'|'.join(PURPOSES)}|custom:<n>"
    raise ScriptError("option of alloc", word, expected=wanted)


def set_of_vtables(addresses: Mapping[str, int]) -> dict[int, Vtable]:
    """The model's vtables, from the addresses that the guest gives by name."""
    return {address: VTABLES[name] for name, address in addresses.items()}


Handler = Callable[[Model, Words], ModelResult]


def _paddr(words: Words, index: int = 0) -> int:
    return words.number(index)


def _block(words: Words) -> tuple[int, int]:
    return words.number(0), words.number(1, below=ORDERS)


def _reads(name: str) -> Handler:
    return lambda model, words: Done({"v": getattr(model.slot(_paddr(words)), name)})


def _flag(bit: int, name: str) -> Handler:
    return lambda model, words: Done({"v": int(bool(getattr(model.slot(_paddr(words)), name) & bit))})


def _stores(method: str) -> Handler:
    return lambda model, words: getattr(model, method)(_paddr(words), words.number(1))


def _calls(method: str) -> Handler:
    return lambda model, words: getattr(model, method)(_paddr(words))


def _inject(model: Model, words: Words) -> ModelResult:
    faults = model.buddy.faults
    match words.args:
        case ("buddy.next", _):
            faults.next_pfn = words.number(1) >> PAGE_SHIFT
        case ("buddy.refuse", _):
            faults.refusals = words.number(1)
        case ("buddy.nostamp", _):
            faults.missing_stamps = words.number(1)
        case ("clear",):
            faults.next_pfn, faults.refusals, faults.missing_stamps = None, 0, 0
        case _:
            raise ScriptError("command", words.line, detail="no such fault is known")
    return Done()


def _matches(model: Model, words: Words) -> ModelResult:
    return Done({"v": int(model.slot(_paddr(words)).generation == words.number(1))})


def _poisoned(model: Model, words: Words) -> ModelResult:
    paddr, order = _block(words)
    frames = range(1 << order)
    return Done({"v": int(any(model.slot(paddr + index * PAGE_SIZE).is_poisoned for index in frames))})


def _snapshot(model: Model, words: Words) -> ModelResult:
    slot = model.slot(_paddr(words))
    return Done({"generation": slot.generation, "guard": slot.guard, "vtable": slot.vtable})


def _try_vtable(model: Model, words: Words) -> ModelResult:
    bits = model.slot(_paddr(words)).vtable
    if bits % 8:
        return Done({"some": 0})
    return Done({"some": 1, "addr": bits} if bits else {"some": 1, "default": 1})


def _vtable(model: Model, words: Words) -> ModelResult:
    bits = model.slot(_paddr(words)).vtable
    return Done({"default": 1} if bits == 0 or bits % 8 else {"addr": bits, "default": 0})


def _hook(name: str) -> Handler:
    return lambda model, words: _invoke(model, name, _paddr(words))


def _invoke(model: Model, hook: str, paddr: int) -> ModelResult:
    """VT-04."""
    bits = model.slot(paddr).vtable
    if bits and bits % 8 == 0 and getattr(model.vtables[bits], hook):
        model.hook_calls.append(HookCall(hook, paddr))
    return Done()


def _forget_hooks(model: Model, _: Words) -> ModelResult:
    model.hook_calls.clear()
    return Done()


def _fill(model: Model, words: Words) -> ModelResult:
    frames = words.number(2) if words.args[2:] else 1
    return model.fill_payload(_paddr(words), words.number(1), frames)


def _alloc(model: Model, words: Words) -> ModelResult:
    return model.alloc(options_of(words.args))


def _alloc_all(model: Model, words: Words) -> ModelResult:
    return model.alloc_all(options_of(words.args))


def _buddy_alloc(model: Model, words: Words) -> ModelResult:
    return model.buddy_alloc(words.number(0), MIGRATETYPES[words.word(1, MIGRATETYPES)])


def _trait_alloc(model: Model, words: Words) -> ModelResult:
    return model.buddy_alloc(words.number(0) if words.args else 0, Migratetype.UNMOVABLE)


ALLOCATES = frozenset({"alloc", "alloc.all"})
TAKES = frozenset({"buddy.alloc", "trait.alloc", "trait.alloc_frame"})
GIVES_BACK = frozenset({"release", "buddy.free", "trait.free"})
WRITERS = ("slot.set_", "slot.cas_", "slot.reset_", "slot.fetch_", "slot.note_", "payload.fill")
UNUSED = f"{C.refcount_unused:#x}"
FOLLOWS_VTABLE = frozenset(
    {"release", "array.unmap", "array.lastref", "slot.try_vtable_ref", "slot.vtable_ref"}
)

HANDLERS: Mapping[str, Handler] = {
    "alloc": _alloc,
    "alloc.all": _alloc_all,
    "buddy.alloc": _buddy_alloc,
    "trait.alloc": _trait_alloc,
    "trait.alloc_frame": _trait_alloc,
    "release": lambda model, words: model.release(*_block(words)),
    "buddy.free": lambda model, words: model.buddy_free(*_block(words)),
    "trait.free": lambda model, words: model.buddy_free(*_block(words)),
    "buddy.drain": lambda model, _: model.drain(),
    "inject": _inject,
    "slot.inc_ref": _calls("inc_ref"),
    "slot.dec_ref": _calls("dec_ref"),
    "slot.cas_refcount": lambda model, words: model.cas_refcount(
        _paddr(words), words.number(1), words.number(2)
    ),
    "slot.set_refcount": _stores("set_refcount"),
    "slot.reset_refcount": _calls("reset_refcount"),
    "slot.set_flags": _stores("set_flags"),
    "slot.set_order": _stores("set_order"),
    "slot.set_next": _stores("set_next"),
    "slot.set_prev": _stores("set_prev"),
    "slot.set_generation": _stores("set_generation"),
    "slot.meta_aux_store": _stores("set_meta_aux"),
    "slot.set_vtable_bits": _stores("set_vtable_bits"),
    "slot.set_guard": _stores("set_guard"),
    "slot.fetch_or_guard": _stores("fetch_or_guard"),
    "slot.mark_poisoned": _calls("mark_poisoned"),
    "slot.reset_with_free_list_meta": _calls("reset_with_free_list_meta"),
    "slot.note_new_allocation_epoch": _calls("note_new_allocation_epoch"),
    "slot.get_refcount": _reads("refcount"),
    "slot.get_flags": _reads("flags"),
    "slot.get_order": _reads("order"),
    "slot.get_guard": _reads("guard"),
    "slot.generation": _reads("generation"),
    "slot.vtable_bits": _reads("vtable"),
    "slot.meta_aux_load": _reads("meta_aux"),
    "slot.next": _reads("next"),
    "slot.prev": _reads("prev"),
    "slot.is_guard_poisoned": _flag(C.guard_poisoned, "guard"),
    "slot.is_cow": _flag(C.flag_cow, "flags"),
    "slot.is_dll": _flag(C.flag_dll, "flags"),
    "slot.try_vtable_ref": _try_vtable,
    "slot.vtable_ref": _vtable,
    "array.snapshot": _snapshot,
    "array.matches": _matches,
    "array.poisoned": _poisoned,
    "array.unmap": _hook("on_unmap"),
    "array.lastref": _hook("on_last_ref"),
    "vt.log": lambda _model, _words: Done(),
    "vt.clear": _forget_hooks,
    "payload.fill": _fill,
}


class Interpreter:
    """Follows a history on the model, command by command."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.sound = True
        """Whether the user of the frames has kept to the rules, so that all invariants must hold."""
        self.claim_rejected = False
        """Whether a claim had to be rejected so far."""
        self.rewound = False
        """Whether a generation was set by hand since somebody last asked."""
        self._aged: set[int] = set()

    def follow(self, line: str) -> Prediction:
        """Carry a command out on the model; returns what a guest must make of it.

        Raises:
            ScriptError: the model does not know such a command.
        """
        words = Words.of(line)
        handler = HANDLERS.get(words.name)
        if handler is None:
            near = nearest(words.name, HANDLERS)
            raise ScriptError("command", line, detail=f"its effect is not known to the model{near}")
        model = self.model
        named = self._named(words)
        misaligned = words.name in FOLLOWS_VTABLE and any(
            model.slots[pfn].vtable % 8 for pfn in named if pfn < model.slots.n_frames
        )
        quarantined, aged = set(model.buddy.quarantined), self._about_to_wrap(words)
        self._notice_abuse(words, named)
        named |= self._offered(words)
        model.payload.clear()
        try:
            outcome = handler(model, words)
        except Panicked as panicked:  # of what only looks at a slot
            outcome = Panic(panicked.kind)
        self.claim_rejected |= isinstance(outcome, Panic) and outcome.kind is PanicKind.CLAIM
        met = model.buddy.quarantined - quarantined if words.name in ALLOCATES else set()
        if isinstance(outcome, Done) and "paddr" in outcome.values:
            named |= {outcome.values["paddr"] >> PAGE_SHIFT}
        return Prediction(
            outcome=outcome,
            payload=dict(model.payload),
            frames=frozenset(named | met),
            wrapped=frozenset(pfn for pfn in aged if model.slots[pfn].generation != LAST_GENERATION),
            poison_met=frozenset(met),
            follows_misaligned=misaligned,
            hooks=tuple(model.hook_calls) if words.name == "vt.log" else None,
            sound=self.sound,
            claim_rejected=self.claim_rejected,
        )

    def _named(self, words: Words) -> set[int]:
        """The pfns of the frames that a command names."""
        if words.name in GIVES_BACK or words.name == "array.poisoned":
            paddr, order = _block(words)
            return set(range(paddr >> PAGE_SHIFT, (paddr >> PAGE_SHIFT) + (1 << order)))
        if words.name.startswith(("slot.", "array.", "payload.")):
            return {_paddr(words) >> PAGE_SHIFT}
        if words.args[:1] == ("buddy.next",):
            return {words.number(1) >> PAGE_SHIFT}
        return set()

    def _offered(self, words: Words) -> set[int]:
        """The frames that the buddy may offer first; a claim must not spoil one that it rejects."""
        if words.name not in ALLOCATES:
            return set()
        buddy = self.model.buddy
        tops = {frames[-1] for frames in buddy.caches.values() if frames}
        return tops if buddy.faults.next_pfn is None else {buddy.faults.next_pfn}

    def _about_to_wrap(self, words: Words) -> set[int]:
        """Frames at their last generation that may begin a life; those that were told so are known."""
        if words.name == "slot.set_generation":
            self._aged.add(_paddr(words) >> PAGE_SHIFT)
        if words.name not in ALLOCATES and words.name != "slot.note_new_allocation_epoch":
            return set()
        return {pfn for pfn in self._aged if self.model.slots[pfn].generation == LAST_GENERATION}

    def _notice_abuse(self, words: Words, named: set[int]) -> None:
        """A user who frees twice, offers frames in use or writes to free frames breaks the lists himself."""
        slots = [self.model.slots[pfn] for pfn in named if pfn < self.model.slots.n_frames]
        free = any(slot.says_free for slot in slots) or bool(named & self.model.buddy.quarantined)
        match words.name:
            case "inject":
                abused = words.args[:1] == ("buddy.nostamp",)
            case "slot.set_order" | "slot.set_next" | "slot.set_prev":
                abused = True
            case (
                "slot.mark_poisoned"
                | "slot.set_generation"
                | "slot.inc_ref"
                | "slot.dec_ref"
                | "slot.meta_aux_store"
            ):
                abused = False
            case name if name in GIVES_BACK or name.startswith(WRITERS):
                abused = free or UNUSED in words.args[1:]
            case _:
                abused = False
        self.rewound = self.rewound or words.name == "slot.set_generation"
        self.sound = self.sound and not abused


def is_refusal(outcome: ModelResult) -> bool:
    """Whether the console refuses such a command before the subject sees it."""
    kinds = (PanicKind.NOT_A_BLOCK, PanicKind.OUT_OF_BOUNDS)
    return isinstance(outcome, Panic) and outcome.kind in kinds


def expected_status(outcome: ModelResult) -> str:
    """The word that the reply of such an outcome begins with."""
    if isinstance(outcome, Done):
        return "ok"
    return "fail" if isinstance(outcome, Fail) else "panic"
