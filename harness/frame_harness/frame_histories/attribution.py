"""Names the clause that a difference breaks with the function to blame.

A clause is named only when the history called a function that can break it: `FUNCTIONS` says which those are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from frame_harness.frame_histories.commands import (
    ALLOCATES,
    GIVES_BACK,
    TAKES,
    WRITES_SLOT,
    Command,
    Op,
    Recipe,
)
from frame_harness.frame_histories.differences import HistoryDifference, Look
from frame_harness.frame_histories.interpreter import Prediction
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.functions import ALLOCATE, FUNCTIONS, RETURN
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.model import AllocOptions, Done, Fail, Panic, PanicKind, Purpose
from frame_harness.frame_metadata.slot_methods import SLOT_METHODS

SCAN = "block_phys_has_poison_guard"
_OF_METHOD = {method.name: method.clauses[0] for method in reversed(SLOT_METHODS)}
# The clause of a command, where nothing more is known than that it went wrong.
OF_COMMAND: Mapping[Op, str] = {
    **{op: _OF_METHOD[op.method] for op in Op if op.method in _OF_METHOD},
    Op.NOTE_NEW_ALLOCATION_EPOCH: "GUARD-05",
    **dict.fromkeys((Op.SET_VTABLE_BITS, Op.VTABLE_BITS, Op.VTABLE_REF, Op.TRY_VTABLE_REF), "VT-02"),
    **dict.fromkeys(ALLOCATES, "ALLOC-09"),
    Op.BUDDY_ALLOC: "ALLOC-14",
    **dict.fromkeys((Op.TRAIT_ALLOC, Op.TRAIT_ALLOC_FRAME, Op.TRAIT_FREE), "FRAME-06"),
    Op.BUDDY_FREE: "FREE-02",
    Op.DRAIN: "FREE-09",
    Op.SNAPSHOT: "ARRAY-08",
    Op.MATCHES: "GEN-02",
    Op.POISONED: "GUARD-06",
    **dict.fromkeys((Op.UNMAP, Op.LAST_REF), "VT-04"),
    **dict.fromkeys((Op.RELEASE, Op.HOOK_LOG, Op.HOOK_CLEAR), "VT-05"),
    **dict.fromkeys((Op.FILL, Op.OFFER, Op.REFUSE, Op.SKIP_STAMPS, Op.CLEAR_FAULTS), "ARRAY-11"),
}
# The fields that a method may change; one that only reads is not here.
OWNED = {
    op: {name for method in SLOT_METHODS if method.name == op.method for name in method.stored}
    for op in WRITES_SLOT
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
    (Op.SET_GUARD, "flags"): "CONST-05",
    (Op.FETCH_OR_GUARD, "flags"): "CONST-05",
    (Op.SET_FLAGS, "guard"): "CONST-05",
}
# What every guest calls before its first command.
CALLED_AT_BOOT = FUNCTIONS.of_lines(["array.init", Op.BUDDY_FREE.words])

_LAST_RESORTS = ("FREE-03", "FREE-02", "LAYOUT-07", "ARRAY-03")
_BY_RULE = frozenset(
    {
        *("ALLOC-04", "ALLOC-05", "ALLOC-06", "ALLOC-07", "ALLOC-08", "ALLOC-11", "ALLOC-14", "ALLOC-15"),
        *("ARRAY-03", "ARRAY-07", "FREE-01", "GEN-03", "GUARD-07", "GUARD-08", "LAYOUT-07", "VT-03"),
    }
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
    """What a difference breaks."""

    clause: str
    function: str
    """Path of the function that did it, or that should have prevented it."""
    called: frozenset[str]
    """Paths of the functions among which the culprit is: those of the last command, or of all."""


def blame(
    commands: Sequence[Command],
    seen: Command | Look,
    prediction: Prediction | None,
    difference: HistoryDifference,
) -> Blame:
    """Name clause and function of a difference that showed after the last of some commands.

    Args:
        commands: all of the history, in the order in which they were sent.
        seen: the command after which it showed, or the look that showed it.
    """
    by_one = _called([seen]) if isinstance(seen, Command) else frozenset()
    called = by_one or CALLED_AT_BOOT | _called(commands)
    candidates = [*_candidates(commands, seen, prediction, difference), *_LAST_RESORTS]
    clause = next(id_ for id_ in candidates if FUNCTIONS.of_clause.get(id_, frozenset()) & called)
    return Blame(clause, _function(clause, seen, difference), called)


def _called(commands: Sequence[Command]) -> frozenset[str]:
    return FUNCTIONS.of_lines(command.op.words for command in commands)


def _candidates(
    commands: Sequence[Command],
    seen: Command | Look,
    prediction: Prediction | None,
    difference: HistoryDifference,
) -> Iterator[str]:
    """The clauses that it may break, the likeliest first."""
    yield from difference.served
    if seen is Look.AT_BOOT:
        yield OF_BOOT.get(difference.field, "ARRAY-03")
    elif prediction is None or isinstance(seen, Look):
        yield _of_the_end(prediction, difference)
    elif isinstance(prediction.outcome, Panic):
        yield _of_refused(prediction.outcome, difference)
    else:
        yield _provoked(prediction, difference) or _of_command(commands, seen, prediction, difference)


def _function(clause: str, seen: Command | Look, difference: HistoryDifference) -> str:
    """The method that the command names; where it calls several, the one that answers for the field."""
    keeper = FUNCTIONS.keeper_of(difference.field)
    if isinstance(seen, Look):
        by_init = seen is Look.AT_BOOT and clause.startswith("ARRAY")
        return "init_metadata_array" if by_init else keeper
    if seen.op.method:
        return f"MetaSlot::{seen.op.method}"
    if seen.op in ALLOCATES:
        return ALLOCATE
    called = FUNCTIONS.of_clause[clause] & _called([seen])
    if clause == "GUARD-07" and SCAN in called:
        return SCAN
    if keeper in called or not called:
        return keeper
    # What a block's way back does to its slots, but for links and order, is done here.
    return RETURN if RETURN in called else min(called)


def _of_the_end(prediction: Prediction | None, difference: HistoryDifference) -> str:
    """Something is wrong, and nobody saw when it happened."""
    if difference.kind in OF_KIND:
        return OF_KIND[difference.kind]
    if difference.kind == "slot":
        return OF_RETURN.get(difference.field, "FREE-02")
    if difference.zeroed:
        return "ALLOC-04"
    return "ALLOC-15" if prediction is not None and prediction.claim_rejected else "FREE-01"


def _of_command(
    commands: Sequence[Command], last: Command, prediction: Prediction, difference: HistoryDifference
) -> str:
    if difference.kind == "payload":
        return _of_payload(last, prediction, difference)
    if last.op in ALLOCATES:
        return _of_allocation(last.op, prediction, difference)
    if _escaped(prediction, difference):
        return "GUARD-07"
    if difference.kind in OF_KIND:
        return OF_KIND[difference.kind]
    if difference.kind == "hooks":
        return "VT-05" if any(each.op is Op.RELEASE for each in commands) else "VT-04"
    if difference.kind == "slot":
        if last.op in GIVES_BACK | TAKES:
            return _of_return(prediction, difference)
        if last.op.method:
            return _of_method(last.op, prediction, difference)
    return OF_COMMAND[last.op]


def _escaped(prediction: Prediction, difference: HistoryDifference) -> bool:
    """Whether a poisoned block that was given back is not in quarantine; its guard is another clause's."""
    if difference.kind == "slot":
        return difference.pfn in prediction.quarantined and difference.field != "guard"
    return bool(prediction.quarantined) and difference.kind in OF_KIND


def _of_refused(outcome: Panic, difference: HistoryDifference) -> str:
    """The command had to panic: it did not, or it changed something all the same."""
    spoilt = difference.kind in ("slot", "payload") and difference.field != "refcount"
    if outcome.kind is PanicKind.CLAIM and spoilt:
        return "ALLOC-15"
    if outcome.kind is PanicKind.REFERENCE and difference.kind == "value":
        return "REF-01"  # it is refused quietly, as it may be, and tells another count than there is
    return OF_PANIC.get(outcome.kind, "ARRAY-07")


def _provoked(prediction: Prediction, difference: HistoryDifference) -> str:
    """The hazard that the command met, where the difference can come of it."""
    if prediction.poison_met and (
        difference.kind not in ("slot", "payload") or difference.pfn in prediction.poison_met
    ):
        # Had it been handed out, the reply would have said so, unless it only says how many were.
        outcome = prediction.outcome
        unnamed = isinstance(outcome, Done) and "paddr" not in outcome.values
        of_life = (difference.kind, difference.field) == ("slot", "generation")
        return "GEN-01" if of_life and not unnamed else "GUARD-08"
    if prediction.follows_misaligned and difference.kind in ("status", "value", "hooks", "crash"):
        return "VT-03"
    return "GEN-03" if _is_wrap(prediction, difference) else ""


def _is_wrap(prediction: Prediction, difference: HistoryDifference) -> bool:
    """A generation had to begin anew, and it is what differs, or the panic is about it."""
    if difference.field == "generation" and difference.kind == "slot":
        return difference.pfn in prediction.wrapped
    return bool(prediction.wrapped) and difference.got_status == "panic" and "overflow" in difference.got


def _of_payload(last: Command, prediction: Prediction, difference: HistoryDifference) -> str:
    match last.operands:
        case (Recipe(calls=calls),) if difference.zeroed:
            return _of_unzeroed(calls)
        case (Recipe(),):
            # Of the frame itself: it should have been left alone; of another one: zeroing went too far.
            return "ALLOC-05" if difference.pfn in prediction.frames else "ALLOC-04"
    return "FREE-01"


def _of_unzeroed(calls: Sequence[bool | Purpose]) -> str:
    last = max((at for at, call in enumerate(calls) if isinstance(call, Purpose)), default=-1)
    if not AllocOptions(tuple(calls)).purpose.requires_zero:
        return "ALLOC-04"
    return "ALLOC-07" if False in calls[last + 1 :] else "ALLOC-06" if False in calls[:last] else "ALLOC-04"


def _of_allocation(op: Op, prediction: Prediction, difference: HistoryDifference) -> str:
    if isinstance(prediction.outcome, Fail):
        return "ALLOC-11"
    if difference.kind == "status":
        return "ALLOC-11" if difference.got_status == "fail" else "ALLOC-10"
    if difference.kind in ("value", *OF_KIND) or _other_frame(prediction, difference):
        # Lists, caches and counters are the buddy's: the module decides what it is asked for, and how often.
        return "ALLOC-08"
    if difference.kind == "slot":
        mine = difference.pfn in prediction.frames or op is Op.ALLOC_ALL
        return OF_NEW_LIFE.get(difference.field, "ALLOC-09") if mine else "ALLOC-14"
    return "ALLOC-09"


def _other_frame(prediction: Prediction, difference: HistoryDifference) -> bool:
    """Whether a frame that had to be handed out stayed free, or the other way round.

    That it was handed out the reply says of a single one: then its flags are what is wrong.
    """
    if difference.kind != "slot" or difference.field != "flags" or difference.values is None:
        return False
    if isinstance(prediction.outcome, Done) and prediction.outcome.values.get("paddr") == difference.frame:
        return False
    expected, got = (bool(value & C.flag_free) for value in difference.values)
    return expected != got


def _of_return(prediction: Prediction, difference: HistoryDifference) -> str:
    if difference.pfn not in prediction.frames:
        return OF_RETURN.get(difference.field, "FREE-03")
    return OF_RETURN.get(difference.field, "FREE-02")


def _of_method(op: Op, prediction: Prediction, difference: HistoryDifference) -> str:
    """A field that the method owns has a wrong value, or another one changed."""
    field, mine = difference.field, difference.pfn in prediction.frames
    owned = mine and field in OWNED.get(op, ())
    if field == "generation" and not (owned and op is Op.SET_GENERATION):
        return "GEN-01"
    if owned:
        return OF_COMMAND[op]
    return OF_TWO_POISONS.get((op, field), "LAYOUT-07") if mine else "LAYOUT-07"
