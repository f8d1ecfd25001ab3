"""Names the clause that a difference breaks, by the command together with what is different about it."""

from __future__ import annotations

from harness.campaign.differences import Difference
from harness.campaign.interpreter import ALLOCATES, GIVES_BACK, Prediction, Words, options_of
from harness.contract.invariants import INVARIANTS
from harness.contract.model import Fail, Panic, PanicKind, Purpose

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
    "slot.set_flags": "CONST-04",
    "slot.get_flags": "CONST-04",
    "slot.set_order": "LAYOUT-02",
    "slot.get_order": "LAYOUT-02",
    "slot.set_next": "FREE-07",
    "slot.set_prev": "FREE-07",
    "slot.next": "FREE-07",
    "slot.prev": "FREE-07",
    "slot.generation": "GEN-01",
    "slot.set_generation": "GEN-03",
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
    "inject": "ALLOC-11",
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
OF_KIND = {"counter": "FREE-06", "list": "FREE-03", "cache": "ALLOC-13"}
OF_PANIC = {
    PanicKind.CLAIM: "ALLOC-10",
    PanicKind.REFERENCE: "REF-07",
    PanicKind.FREED_TWICE: "FREE-08",
    PanicKind.CORRUPT_LIST: "FREE-03",
}
# A field of any slot after boot, when the buddy has filled its lists for the first time.
OF_BOOT = {"refcount": "FREE-02", "next": "FREE-03", "prev": "FREE-03", "order": "FREE-04"}
AT_BOOT = "at boot"
"""Stands for the command where the difference showed before the first."""
AT_THE_END = "at the end"
"""Stands for the command where the difference showed when everything was looked at."""

_BY_RULE = frozenset(
    {
        "ALLOC-04",
        "ALLOC-05",
        "ALLOC-06",
        "ALLOC-07",
        "ALLOC-08",
        "ALLOC-14",
        "ALLOC-15",
        "FREE-01",
        "GUARD-08",
    }
    | {"GUARD-08", "LAYOUT-07", "VT-03"}
)
_BY_INVARIANT = frozenset(invariant.clauses[0] for invariant in INVARIANTS.values())
_BY_TABLE = frozenset(
    clause
    for table in (OF_BOOT, OF_COMMAND, OF_NEW_LIFE, OF_RETURN, OF_KIND, OF_PANIC)
    for clause in table.values()
)
CLAUSES = _BY_RULE | _BY_INVARIANT | _BY_TABLE
"""Everything that a history can find broken."""


def clause_of(line: str, prediction: Prediction | None, difference: Difference) -> str:
    """The clause that a difference after a command breaks."""
    if difference.served:
        return difference.served[0]
    if line == AT_BOOT:
        return OF_BOOT.get(difference.field, "ARRAY-03")
    if prediction is None or line == AT_THE_END:
        return _of_the_end(prediction, difference)
    if isinstance(prediction.outcome, Panic):
        return _of_refused(prediction.outcome, difference)
    return _provoked(prediction, difference) or _of_command(Words.of(line), prediction, difference)


def _of_the_end(prediction: Prediction | None, difference: Difference) -> str:
    """Some payload is wrong, and nobody saw when it happened."""
    if difference.zeroed:
        return "ALLOC-04"
    return "ALLOC-15" if prediction is not None and prediction.claim_rejected else "FREE-01"


def _of_command(words: Words, prediction: Prediction, difference: Difference) -> str:
    if difference.kind == "payload":
        return _of_payload(words, prediction, difference)
    if words.name in ALLOCATES:
        return _of_allocation(words, prediction, difference)
    if difference.kind in OF_KIND:
        return OF_KIND[difference.kind]
    if difference.kind == "slot":
        if words.name in GIVES_BACK:
            return _of_return(prediction, difference)
        if words.name.startswith("slot.") and _elsewhere(words, prediction, difference):
            return "LAYOUT-07"
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
    if prediction.generation_wraps and (difference.kind == "status" or difference.field == "generation"):
        return "GEN-03"
    return ""


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
    if difference.kind == "value":
        return "ALLOC-08"
    if difference.kind == "slot":
        mine = difference.pfn in prediction.frames or words.name == "alloc.all"
        return OF_NEW_LIFE.get(difference.field, "ALLOC-09") if mine else "ALLOC-14"
    return OF_KIND.get(difference.kind, "ALLOC-09")


def _of_return(prediction: Prediction, difference: Difference) -> str:
    if difference.pfn not in prediction.frames:
        return OF_RETURN.get(difference.field, "FREE-03")
    return OF_RETURN.get(difference.field, "FREE-02")


def _elsewhere(words: Words, prediction: Prediction, difference: Difference) -> bool:
    """Whether a field changed that the method does not own."""
    if difference.pfn not in prediction.frames:
        return True
    method = words.name.removeprefix("slot.")
    return OWNED.get(method, difference.field) != difference.field


OWNED = {
    "inc_ref": "refcount",
    "dec_ref": "refcount",
    "cas_refcount": "refcount",
    "set_refcount": "refcount",
    "reset_refcount": "refcount",
    "set_flags": "flags",
    "set_order": "order",
    "set_next": "next",
    "set_prev": "prev",
    "set_generation": "generation",
    "meta_aux_store": "meta_aux",
    "set_vtable_bits": "vtable",
    "set_guard": "guard",
    "fetch_or_guard": "guard",
}
"""The one field that a method may change."""
