"""Console commands of a history as values, with the one codec from and to their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cached_property
from typing import NamedTuple

from frame_harness.base.errors import UsageError
from frame_harness.base.units import Paddr, Pfn, frames_from, paddr_to_pfn
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.frame_metadata.model import (
    KERNEL_DATA,
    PAGE_TABLE,
    USER_DATA,
    AllocOptions,
    Purpose,
    Vtable,
    custom,
)
from frame_harness.machine.schema import nearest

VTABLES: Mapping[str, Vtable] = {
    "both": Vtable(on_last_ref=True, on_unmap=True),
    "unmap": Vtable(on_last_ref=False, on_unmap=True),
    "lastref": Vtable(on_last_ref=True, on_unmap=False),
    "empty": Vtable(on_last_ref=False, on_unmap=False),
}
"""The shim's recording vtables by the name that `vt.addr` knows."""
PURPOSES = {purpose.name: purpose for purpose in (PAGE_TABLE, KERNEL_DATA, USER_DATA)}
STARTS = ("new", "default")
_VTABLE = re.compile(rf"@({'|'.join(VTABLES)})(?:\+(\d))?")


class ScriptError(UsageError):
    """A line that is no command whose effect the model knows."""


# ---- operands ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VtableAt:
    """The address of one of the kernel's vtables, some bytes further on; a build decides which it is."""

    name: str
    shift: int = 0

    def address(self, vtables: Mapping[str, int]) -> int:
        """The address on one build, given where its vtables are; raises KeyError for any other name."""
        return vtables[self.name] + self.shift


@dataclass(frozen=True)
class Recipe:
    """How an allocation is asked for: `new`, `default` or neither, then calls of the builder in order."""

    start: str = ""
    calls: tuple[bool | Purpose, ...] = ()

    @cached_property
    def options(self) -> AllocOptions:
        """The builder calls as the model takes them; `start` makes no difference to it."""
        return AllocOptions(self.calls)

    def shorter(self) -> list[Recipe]:
        """The same without each of its words."""
        calls = [self.calls[:at] + self.calls[at + 1 :] for at in range(len(self.calls))]
        unstarted = [replace(self, start="")] if self.start else []
        return unstarted + [replace(self, calls=fewer) for fewer in calls]


CommandOperand = int | Migratetype | VtableAt | Recipe


class OperandKind(Enum):
    """What an operand is, which decides how it is written."""

    FRAME = auto()  # a physical address
    ORDER = auto()
    COUNT = auto()
    BITS = auto()
    FRAMES = auto()  # how many frames; may be left out
    MIGRATETYPE = auto()
    RECIPE = auto()


_HEX = (OperandKind.FRAME, OperandKind.BITS)
# No block has the last of these orders, and its frames can still be counted.
_BELOW = {OperandKind.ORDER: 21}


# ---- commands ---------------------------------------------------------------------------------------------


class Op(Enum):
    """A command that the model knows: its words, then the kinds of its operands."""

    ALLOC = "alloc", OperandKind.RECIPE
    ALLOC_ALL = "alloc.all", OperandKind.RECIPE
    BUDDY_ALLOC = "buddy.alloc", OperandKind.COUNT, OperandKind.MIGRATETYPE
    TRAIT_ALLOC = "trait.alloc", OperandKind.COUNT
    TRAIT_ALLOC_FRAME = ("trait.alloc_frame",)
    RELEASE = "release", OperandKind.FRAME, OperandKind.ORDER
    BUDDY_FREE = "buddy.free", OperandKind.FRAME, OperandKind.ORDER
    TRAIT_FREE = "trait.free", OperandKind.FRAME, OperandKind.ORDER
    DRAIN = ("buddy.drain",)
    OFFER = "inject buddy.next", OperandKind.FRAME
    REFUSE = "inject buddy.refuse", OperandKind.COUNT
    SKIP_STAMPS = "inject buddy.nostamp", OperandKind.COUNT
    CLEAR_FAULTS = ("inject clear",)
    INC_REF = "slot.inc_ref", OperandKind.FRAME
    DEC_REF = "slot.dec_ref", OperandKind.FRAME
    CAS_REFCOUNT = "slot.cas_refcount", OperandKind.FRAME, OperandKind.COUNT, OperandKind.COUNT
    SET_REFCOUNT = "slot.set_refcount", OperandKind.FRAME, OperandKind.BITS
    RESET_REFCOUNT = "slot.reset_refcount", OperandKind.FRAME
    SET_FLAGS = "slot.set_flags", OperandKind.FRAME, OperandKind.BITS
    SET_ORDER = "slot.set_order", OperandKind.FRAME, OperandKind.COUNT
    SET_NEXT = "slot.set_next", OperandKind.FRAME, OperandKind.BITS
    SET_PREV = "slot.set_prev", OperandKind.FRAME, OperandKind.BITS
    SET_GENERATION = "slot.set_generation", OperandKind.FRAME, OperandKind.BITS
    META_AUX_STORE = "slot.meta_aux_store", OperandKind.FRAME, OperandKind.BITS
    SET_VTABLE_BITS = "slot.set_vtable_bits", OperandKind.FRAME, OperandKind.BITS
    SET_GUARD = "slot.set_guard", OperandKind.FRAME, OperandKind.BITS
    FETCH_OR_GUARD = "slot.fetch_or_guard", OperandKind.FRAME, OperandKind.BITS
    MARK_POISONED = "slot.mark_poisoned", OperandKind.FRAME
    RESET_WITH_FREE_LIST_META = "slot.reset_with_free_list_meta", OperandKind.FRAME
    NOTE_NEW_ALLOCATION_EPOCH = "slot.note_new_allocation_epoch", OperandKind.FRAME
    GET_REFCOUNT = "slot.get_refcount", OperandKind.FRAME
    GET_FLAGS = "slot.get_flags", OperandKind.FRAME
    GET_ORDER = "slot.get_order", OperandKind.FRAME
    GET_GUARD = "slot.get_guard", OperandKind.FRAME
    GENERATION = "slot.generation", OperandKind.FRAME
    VTABLE_BITS = "slot.vtable_bits", OperandKind.FRAME
    META_AUX_LOAD = "slot.meta_aux_load", OperandKind.FRAME
    NEXT = "slot.next", OperandKind.FRAME
    PREV = "slot.prev", OperandKind.FRAME
    IS_GUARD_POISONED = "slot.is_guard_poisoned", OperandKind.FRAME
    IS_COW = "slot.is_cow", OperandKind.FRAME
    IS_DLL = "slot.is_dll", OperandKind.FRAME
    TRY_VTABLE_REF = "slot.try_vtable_ref", OperandKind.FRAME
    VTABLE_REF = "slot.vtable_ref", OperandKind.FRAME
    SNAPSHOT = "array.snapshot", OperandKind.FRAME
    MATCHES = "array.matches", OperandKind.FRAME, OperandKind.COUNT
    POISONED = "array.poisoned", OperandKind.FRAME, OperandKind.ORDER
    UNMAP = "array.unmap", OperandKind.FRAME
    LAST_REF = "array.lastref", OperandKind.FRAME
    HOOK_LOG = ("vt.log",)
    HOOK_CLEAR = ("vt.clear",)
    FILL = "payload.fill", OperandKind.FRAME, OperandKind.BITS, OperandKind.FRAMES

    def __init__(self, words: str, *kinds: OperandKind) -> None:
        self.words = words
        self.kinds = kinds

    @property
    def method(self) -> str:
        """The method of `MetaSlot` that it calls; empty where it calls others."""
        prefix, _, method = self.words.partition(".")
        return method if prefix == "slot" else ""


ALLOCATES = frozenset({Op.ALLOC, Op.ALLOC_ALL})
TAKES = frozenset({Op.BUDDY_ALLOC, Op.TRAIT_ALLOC, Op.TRAIT_ALLOC_FRAME})
GIVES_BACK = frozenset({Op.RELEASE, Op.BUDDY_FREE, Op.TRAIT_FREE})
READS_FIELD = {
    Op.GET_REFCOUNT: "refcount", Op.GET_FLAGS: "flags", Op.GET_ORDER: "order", Op.GET_GUARD: "guard",
    Op.GENERATION: "generation", Op.VTABLE_BITS: "vtable", Op.NEXT: "next", Op.PREV: "prev",
    Op.META_AUX_LOAD: "meta_aux",
}  # fmt: skip
"""By method the field that it returns as it is."""
WRITES_SLOT = frozenset(
    {
        *(Op.INC_REF, Op.DEC_REF, Op.CAS_REFCOUNT, Op.SET_REFCOUNT, Op.RESET_REFCOUNT, Op.SET_FLAGS),
        *(Op.SET_ORDER, Op.SET_NEXT, Op.SET_PREV, Op.SET_GENERATION, Op.META_AUX_STORE, Op.SET_VTABLE_BITS),
        *(Op.SET_GUARD, Op.FETCH_OR_GUARD, Op.MARK_POISONED, Op.RESET_WITH_FREE_LIST_META),
        Op.NOTE_NEW_ALLOCATION_EPOCH,
    }
)
FOLLOWS_VTABLE = frozenset({Op.RELEASE, Op.UNMAP, Op.LAST_REF, Op.TRY_VTABLE_REF, Op.VTABLE_REF})


class Command(NamedTuple):
    """One command of a history."""

    op: Op
    operands: tuple[CommandOperand, ...] = ()

    @property
    def frames(self) -> tuple[Pfn, ...]:
        """The pfns that it names."""
        match self.op.kinds, self.operands:
            case (OperandKind.FRAME, OperandKind.ORDER), (int(paddr), int(order)):
                return tuple(frames_from(paddr_to_pfn(Paddr(paddr)), 1 << order))
            case (OperandKind.FRAME, *_), (int(paddr), *_):
                return (paddr_to_pfn(Paddr(paddr)),)
        return ()

    def on(self, vtables: Mapping[str, int]) -> Command:
        """The same for a build with these vtables."""
        if not any(isinstance(each, VtableAt) for each in self.operands):
            return self
        known = [each.address(vtables) if isinstance(each, VtableAt) else each for each in self.operands]
        return Command(self.op, tuple(known))


# ---- the codec --------------------------------------------------------------------------------------------


def encode(command: Command) -> str:
    """The command as it is sent."""
    op = command.op
    words = [_encoded(kind, operand) for kind, operand in zip(op.kinds, command.operands, strict=False)]
    return " ".join([op.words, *filter(None, words)])


def _encoded(kind: OperandKind, operand: CommandOperand) -> str:
    match operand:
        case Migratetype():
            return operand.name.lower()
        case VtableAt(name, shift):
            return f"@{name}+{shift}" if shift else f"@{name}"
        case Recipe(start, calls):
            return " ".join([start, *map(_builder_word, calls)]).strip()
        case _:
            return f"{operand:#x}" if kind in _HEX else str(operand)


def _builder_word(call: bool | Purpose) -> str:
    if isinstance(call, Purpose):
        return f"purpose={call.name}" if call.name in PURPOSES else f"purpose=custom:{call.custom_flags:#x}"
    return f"zeroed={int(call)}"


_BY_WORDS = {op.words: op for op in Op}
_NAMES = {op.words.partition(" ")[0] for op in Op}


def decode(line: str) -> Command:
    """The command that a line is.

    Raises:
        ScriptError: the model does not know such a command.
    """
    words = line.split()
    for n_words in (2, 1):
        if op := _BY_WORDS.get(" ".join(words[:n_words])):
            return Command(op, tuple(_decoded(op, line, words, n_words)))
    if words[:1] == ["inject"]:
        raise ScriptError("command", line, detail="no such fault is known")
    near = nearest(words[0], _NAMES) if words else ""
    raise ScriptError("command", line, detail=f"its effect is not known to the model{near}")


def _decoded(op: Op, line: str, words: Sequence[str], first: int) -> Iterator[CommandOperand]:
    if OperandKind.RECIPE in op.kinds:
        yield _recipe(line, words[first:])
        return
    for at, kind in enumerate(op.kinds, first):
        word = words[at] if at < len(words) else ""
        if kind is OperandKind.MIGRATETYPE:
            yield _migratetype(line, word)
        elif kind is OperandKind.BITS and (vtable := _VTABLE.fullmatch(word)):
            yield VtableAt(vtable[1], int(vtable[2] or 0))
        elif word or kind is not OperandKind.FRAMES:
            yield _number(line, word, at, _BELOW.get(kind, 1 << 64))
    if left := words[first + len(op.kinds) :]:
        raise ScriptError("command", line, detail=f"unexpected argument: {left[0]}")


def _number(line: str, word: str, place: int, below: int) -> int:
    try:
        value = int(word, 0)
    except ValueError as error:
        raise ScriptError("command", line, expected=f"a number as argument {place}") from error
    if not 0 <= value < below:
        wanted = f"0 to {below - 1:#x} as argument {place}"
        raise ScriptError("command", line, expected=wanted, actual=f"{value:#x}")
    return value


def _migratetype(line: str, word: str) -> Migratetype:
    known = {kind.name.lower(): kind for kind in Migratetype}
    if word not in known:
        raise ScriptError("command", line, expected=" or ".join(sorted(known)), actual=repr(word))
    return known[word]


def _recipe(line: str, words: Sequence[str]) -> Recipe:
    start = words[0] if words and words[0] in STARTS else ""
    calls = words[1:] if start else words
    return Recipe(start, tuple(_builder_call(line, word) for word in calls))


def _builder_call(line: str, word: str) -> bool | Purpose:
    key, _, value = word.partition("=")
    if key == "zeroed" and value in ("0", "1"):
        return value == "1"
    if key == "purpose" and value in PURPOSES:
        return PURPOSES[value]
    if key == "purpose" and value.startswith("custom:"):
        return custom(_number(line, value.removeprefix("custom:"), 1, 1 << 32))
    wanted = f"zeroed=0|1 or purpose={'|'.join(PURPOSES)}|custom:<n>"
    raise ScriptError("command", line, expected=wanted)
