"""Names the clause that a difference breaks with the function to blame.

A clause is named only when the history called a function that can break it: `OF_CLAUSE` says which those are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.functions import (
    ALLOCATE,
    EPOCH,
    FUNCTIONS,
    RETURN,
)
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.model import Fail, Panic, PanicKind, Purpose
from frame_harness.histories.differences import Difference
from frame_harness.histories.interpreter import ALLOCATES, GIVES_BACK, TAKES, Prediction, Words, options_of

# The clause of a command, where nothing more is known than that it went wrong.
OF_COMMAND = {
    "alloc": "ALLOC-09",
    "alloc.all": "ALLOC-09",
    "buddy.alloc": "ALLOC-14",
    "trait.alloc": "FRAME-06",
    "trait.alloc_frame": "FRAME-06",
    "trait.free": "FRAME-06",
    "release": "VT-05",
    "buddy.free": "FREE-02",
    "buddy.drain": "FREE-09",
    "slot.inc_ref": "REF-01",
    "slot.dec_ref": "REF-01",
    "slot.get_refcount": "REF-01",
    "slot.cas_refcount": "REF-02",
    "slot.set_refcount": "REF-03",
    "slot.reset_refcount": "REF-03",
    "slot.set_flags": "LAYOUT-07",
    "slot.get_flags": "LAYOUT-07",
    "slot.set_order": "LAYOUT-07",
    "slot.get_order": "LAYOUT-07",
    "slot.set_next": "FREE-07",
    "slot.set_prev": "FREE-07",
    "slot.next": "FREE-07",
    "slot.prev": "FREE-07",
    "slot.generation": "LAYOUT-07",
    "slot.set_generation": "LAYOUT-07",
    "slot.meta_aux_store": "FRAME-08",
    "slot.meta_aux_load": "FRAME-08",
    "slot.set_vtable_bits": "VT-02",
    "slot.vtable_bits": "VT-02",
    "slot.vtable_ref": "VT-02",
    "slot.try_vtable_ref": "VT-02",
    "slot.set_guard": "GUARD-01",
    "slot.get_guard": "GUARD-01",
    "slot.fetch_or_guard": "GUARD-01",
    "slot.mark_poisoned": "GUARD-02",
    "slot.is_guard_poisoned": "GUARD-03",
    "slot.is_cow": "FRAME-07",
    "slot.is_dll": "FRAME-07",
    "slot.reset_with_free_list_meta": "GUARD-04",
    "slot.note_new_allocation_epoch": "GUARD-05",
    "array.snapshot": "ARRAY-08",
    "array.matches": "GEN-02",
    "array.poisoned": "GUARD-06",
    "array.unmap": "VT-04",
    "array.lastref": "VT-04",
    "vt.log": "VT-05",
    "vt.clear": "VT-05",
    "payload.fill": "ARRAY-11",
    "inject": "ARRAY-11",
}
# A field of the slot of the frame that was allocated, or given back.
OF_NEW_LIFE = {"flags": "ALLOC-02", "generation": "GEN-01", "guard": "GUARD-05", "vtable": "GUARD-05"}
OF_RETURN = {
    "next": "FREE-03",
    "prev": "FREE-03",
    "order": "FREE-04",
    "generation": "GEN-01",
    "guard": "GUARD-04",
    "vtable": "GUARD-04",
}
OF_KIND = {"counter": "FREE-06", "list": "FREE-03", "cache": "FREE-03"}
OF_PANIC = {
    PanicKind.CLAIM: "ALLOC-10",
    PanicKind.REFERENCE: "REF-07",
    PanicKind.FREED_TWICE: "FREE-08",
    PanicKind.CORRUPT_LIST: "FREE-03",
}
# A field of any slot after boot, when the buddy has filled its lists for the first time.
OF_BOOT = {"refcount": "FREE-02", "next": "FREE-03", "prev": "FREE-03", "order": "FREE-04"}
# A method that writes one field, and the field that is no business of its own.
OF_TWO_POISONS = {
    ("set_guard", "flags"): "CONST-05",
    ("fetch_or_guard", "flags"): "CONST-05",
    ("set_flags", "guard"): "CONST-05",
}
AT_BOOT = "at boot"
"""Stands for the command where the difference showed before the first."""
AT_THE_END = "at the end"
"""Stands for the command where the difference showed when everything was looked at."""
BOOT = ("array.init 0", "buddy.free 0 0")
"""What every guest does before its first command, as commands."""

_LAST_RESORTS = ("FREE-03", "FREE-02", "LAYOUT-07", "ARRAY-03")
_BY_RULE = frozenset(
    {"ALLOC-04", "ALLOC-05", "ALLOC-06", "ALLOC-07", "ALLOC-08", "ALLOC-11", "ALLOC-14", "ALLOC-15"}
    | {"FREE-01", "GEN-03", "GUARD-08", "LAYOUT-07", "VT-03", "ARRAY-03", "ARRAY-07"}
)
_BY_INVARIANT = frozenset(invariant.clauses[0] for invariant in INVARIANTS.values())
_BY_TABLE = frozenset(
    clause
    for table in (OF_BOOT, OF_COMMAND, OF_NEW_LIFE, OF_RETURN, OF_KIND, OF_PANIC, OF_TWO_POISONS)
    for clause in table.values()
)
CLAUSES = _BY_RULE | _BY_INVARIANT | _BY_TABLE
"""Everything that a history can find broken."""


@dataclass(frozen=True)
class Blame:
    """What a difference breaks.

    Args:
        function: path of the function that did it, or that should have prevented it.
        called: paths of the functions among which the culprit is: those of the last command, or of all.
    """

    clause: str
    function: str
    called: frozenset[str]


def blame(lines: Sequence[str], line: str, prediction: Prediction | None, difference: Difference) -> Blame:
    """Name clause and function of a difference that showed after the last of some commands.

    Args:
        lines: all commands of the history, in the order in which they were sent.
        line: the command after which it showed, or `AT_BOOT`, or `AT_THE_END`.
    """
    by_one = frozenset() if line in (AT_BOOT, AT_THE_END) else FUNCTIONS.of_lines([line])
    called = by_one or FUNCTIONS.of_lines([*BOOT, *lines])
    candidates = [*_candidates(lines, line, prediction, difference), *_LAST_RESORTS]
    clause = next(id_ for id_ in candidates if FUNCTIONS.of_clause.get(id_, frozenset()) & called)
    return Blame(clause, _function(clause, line, difference), called)


def _candidates(
    lines: Sequence[str], line: str, prediction: Prediction | None, difference: Difference
) -> Iterator[str]:
    """The clauses that it may break, the likeliest first."""
    yield from difference.served
    if line == AT_BOOT:
        yield OF_BOOT.get(difference.field, "ARRAY-03")
    elif prediction is None or line == AT_THE_END:
        yield _of_the_end(prediction, difference)
    elif isinstance(prediction.outcome, Panic):
        yield _of_refused(prediction.outcome, difference)
    else:
        yield _provoked(prediction, difference) or _of_command(lines, Words.of(line), prediction, difference)


def _function(clause: str, line: str, difference: Difference) -> str:
    """The method that the command names; where it calls several, the one that answers for the field."""
    if line == AT_BOOT:
        return "init_metadata_array" if clause.startswith("ARRAY") else FUNCTIONS.keeper_of(difference.field)
    name = line.split(maxsplit=1)[0]
    if name.startswith("slot."):
        return f"MetaSlot::{name.removeprefix('slot.')}"
    if name in ALLOCATES:
        return ALLOCATE
    called = FUNCTIONS.of_clause[clause] & FUNCTIONS.of_lines([line])
    keeper = FUNCTIONS.keeper_of(difference.field)
    if keeper in called or not called:
        return keeper
    # What a block's way back does to its slots, but for links and order, is done here.
    return RETURN if RETURN in called else min(called)


def _of_the_end(prediction: Prediction | None, difference: Difference) -> str:
    """Some payload is wrong, and nobody saw when it happened."""
    if difference.zeroed:
        return "ALLOC-04"
    return "ALLOC-15" if prediction is not None and prediction.claim_rejected else "FREE-01"


def _of_command(lines: Sequence[str], words: Words, prediction: Prediction, difference: Difference) -> str:
    if difference.kind == "payload":
        return _of_payload(words, prediction, difference)
    if words.name in ALLOCATES:
        return _of_allocation(words, prediction, difference)
    if difference.kind in OF_KIND:
        return OF_KIND[difference.kind]
    if difference.kind == "hooks":
        return "VT-05" if any(each.startswith("release") for each in lines) else "VT-04"
    if difference.kind == "slot":
        if words.name in GIVES_BACK | TAKES:
            return _of_return(prediction, difference)
        if words.name.startswith("slot."):
            return _of_method(words, prediction, difference)
    return OF_COMMAND.get(words.name, "LAYOUT-07")


def _of_refused(outcome: Panic, difference: Difference) -> str:
    """The command had to panic: it did not, or it changed something all the same."""
    spoilt = difference.kind in ("slot", "payload") and difference.field != "refcount"
    if outcome.kind is PanicKind.CLAIM and spoilt:
        return "ALLOC-15"
    return OF_PANIC.get(outcome.kind, "ARRAY-07")


def _provoked(prediction: Prediction, difference: Difference) -> str:
    """The hazard that the command met, where the difference can come of it."""
    if prediction.poison_met and (
        difference.kind not in ("slot", "payload") or difference.pfn in prediction.poison_met
    ):
        return "GUARD-08"
    if prediction.follows_misaligned and difference.kind in ("status", "value", "hooks", "crash"):
        return "VT-03"
    return "GEN-03" if _is_wrap(prediction, difference) else ""


def _is_wrap(prediction: Prediction, difference: Difference) -> bool:
    """A generation had to begin anew, and it is what differs, or the panic is about it."""
    if difference.field == "generation" and difference.kind == "slot":
        return difference.pfn in prediction.wrapped
    return bool(prediction.wrapped) and difference.got_status == "panic" and "overflow" in difference.got


def _of_payload(words: Words, prediction: Prediction, difference: Difference) -> str:
    if words.name not in ALLOCATES:
        return "FREE-01"
    if difference.zeroed:
        calls = options_of(words.args).calls
        table = max((at for at, call in enumerate(calls) if isinstance(call, Purpose)), default=-1)
        if table >= 0 and isinstance(call := calls[table], Purpose) and call.requires_zero:
            after = [call for call in calls[table + 1 :] if call is False]
            before = [call for call in calls[:table] if call is False]
            return "ALLOC-07" if after else "ALLOC-06" if before else "ALLOC-04"
        return "ALLOC-04"
    # Of the frame itself: it should have been left alone; of another one: zeroing went too far.
    return "ALLOC-05" if difference.pfn in prediction.frames else "ALLOC-04"


def _of_allocation(words: Words, prediction: Prediction, difference: Difference) -> str:
    if isinstance(prediction.outcome, Fail):
        return "ALLOC-11"
    if difference.kind == "status":
        return "ALLOC-11" if difference.got_status == "fail" else "ALLOC-10"
    if difference.kind in ("value", *OF_KIND) or _other_frame(difference):
        # Lists, caches and counters are the buddy's: the module decides what it is asked for, and how often.
        return "ALLOC-08"
    if difference.kind == "slot":
        mine = difference.pfn in prediction.frames or words.name == "alloc.all"
        return OF_NEW_LIFE.get(difference.field, "ALLOC-09") if mine else "ALLOC-14"
    return "ALLOC-09"


def _other_frame(difference: Difference) -> bool:
    """Whether a frame that had to be handed out stayed free, or the other way round."""
    if difference.kind != "slot" or difference.field != "flags" or difference.values is None:
        return False
    expected, got = (bool(value & C.flag_free) for value in difference.values)
    return expected != got


def _of_return(prediction: Prediction, difference: Difference) -> str:
    if difference.pfn not in prediction.frames:
        return OF_RETURN.get(difference.field, "FREE-03")
    return OF_RETURN.get(difference.field, "FREE-02")


def _of_method(words: Words, prediction: Prediction, difference: Difference) -> str:
    """A field that the method owns has a wrong value, or another one changed."""
    method = words.name.removeprefix("slot.")
    mine = difference.pfn in prediction.frames
    if mine and difference.field in OWNED.get(method, ()):
        return (
            "GEN-01"
            if difference.field == "generation" and method != "set_generation"
            else OF_COMMAND[words.name]
        )
    if difference.field == "generation":
        return "GEN-01"
    return OF_TWO_POISONS.get((method, difference.field), "LAYOUT-07") if mine else "LAYOUT-07"


OWNED = {
    "inc_ref": ("refcount",),
    "dec_ref": ("refcount",),
    "cas_refcount": ("refcount",),
    "set_refcount": ("refcount",),
    "reset_refcount": ("refcount",),
    "set_flags": ("flags",),
    "set_order": ("order",),
    "set_next": ("next",),
    "set_prev": ("prev",),
    "set_generation": ("generation",),
    "meta_aux_store": ("meta_aux",),
    "set_vtable_bits": ("vtable",),
    "set_guard": ("guard",),
    "fetch_or_guard": ("guard",),
    "mark_poisoned": ("guard", "flags"),
    EPOCH.removeprefix("MetaSlot::"): ("generation", "guard", "vtable"),
    RETURN.removeprefix("MetaSlot::"): ("guard", "vtable"),
}
"""The fields that a method may change; one that only reads is not here."""
