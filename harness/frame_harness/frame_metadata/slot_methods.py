"""Every method of `MetaSlot`: its operands, the field it works on, what it may do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from frame_harness.contract.boundaries import around, one_bit_off
from frame_harness.contract.methods import CallEnd, Effect, SlotMethod, SlotValues, operand
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.layouts import META_SLOT

WORD = (1 << 32) - 1
CallEnds = tuple[CallEnd, ...]


def _stores(name: str) -> Effect:
    return lambda before, arguments: (CallEnd(before | {name: arguments[0]}),)


def _loads(name: str) -> Effect:
    return lambda before, _arguments: (CallEnd(before, {"v": before[name]}),)


def _tells(truth: Callable[[SlotValues], bool]) -> Effect:
    return lambda before, _arguments: (CallEnd(before, {"v": int(truth(before))}),)


def _changes(change: Callable[[SlotValues], SlotValues]) -> Effect:
    return lambda before, _arguments: (CallEnd(before | change(before)),)


def _setter(name: str, field: str, clause: str, argument: str) -> SlotMethod:
    """The field holds the opposite of some values before, so a bit that is not stored is seen."""
    bits = META_SLOT.widths[field]
    ones = (1 << bits) - 1
    pairs = tuple((ones ^ value, value) for value in around(bits))
    return SlotMethod(
        name, (clause,), _stores(field), (operand(argument, bits),), (field,), pairs, accessor=True
    )


def _getter(name: str, field: str, clause: str) -> SlotMethod:
    return SlotMethod(name, (clause,), _loads(field), stored=(field,), accessor=True)


def _swap(before: SlotValues, arguments: Sequence[int]) -> CallEnds:
    expect, new = arguments
    found = before["refcount"]
    if found == expect:
        return (CallEnd(before | {"refcount": new}, {"v": found}),)
    return (CallEnd(before, {"v": found}, "fail"),)


def _swaps() -> tuple[tuple[int, ...], ...]:
    """Equal pairs at each boundary, then pairs that differ in one bit alone; the patterns are ours."""
    equal = [(value, value, WORD ^ value) for value in around(32)]
    new = [(7, 7, value) for value in around(32)]
    near = [
        (found, expect, 0xA5)
        for expect in (0, 1, 0x5A5A_5A5A, C.refcount_unused)
        for found in one_bit_off(expect, 32)
    ]
    return (*equal, *new, *near)


def _or_guard(before: SlotValues, arguments: Sequence[int]) -> CallEnds:
    return (CallEnd(before | {"guard": before["guard"] | arguments[0]}, {"v": before["guard"]}),)


def _poison(before: SlotValues) -> SlotValues:
    return {"guard": before["guard"] | C.guard_poisoned, "flags": before["flags"] | C.flag_poisoned}


def _new_epoch(before: SlotValues) -> SlotValues:
    return {"vtable": 0, "guard": 0, "generation": before["generation"] + 1 & WORD}


def _to_free_list(before: SlotValues) -> SlotValues:
    return {"vtable": 0, "guard": before["guard"] & C.guard_poisoned}


def _snapshot(before: SlotValues, _arguments: Sequence[int]) -> CallEnds:
    return (CallEnd(before, {name: before[name] for name in ("generation", "guard", "vtable")}),)


# ---- Reference operations at the sentinel: they may refuse, loudly or quietly ----------------------------


def _refuses(before: SlotValues, reply: dict[str, int]) -> CallEnds:
    """What it returns is what it would have returned otherwise: `dec_ref` the value before."""
    return CallEnd(before, reply), CallEnd(before, status="panic")


def _inc(before: SlotValues, _arguments: Sequence[int]) -> CallEnds:
    found = before["refcount"]
    if found >= C.refcount_unused - 1:
        return _refuses(before, {})
    return (CallEnd(before | {"refcount": found + 1}),)


def _dec(before: SlotValues, _arguments: Sequence[int]) -> CallEnds:
    found = before["refcount"]
    if found in (0, C.refcount_unused):
        return _refuses(before, {"v": found})
    return (CallEnd(before | {"refcount": found - 1}, {"v": found}),)


def _at_sentinel(*counts: int) -> Callable[[SlotValues, Sequence[int]], bool]:
    return lambda before, _arguments: before["refcount"] in counts


def _off_sentinel(*counts: int) -> Callable[[SlotValues, Sequence[int]], bool]:
    return lambda before, _arguments: before["refcount"] not in counts


INC_REFUSED = (C.refcount_unused - 1, C.refcount_unused)
DEC_REFUSED = (0, C.refcount_unused)
ONE_FROM_WRAP = 2**32 - 1

ACCESSORS = (
    _setter("set_next", "next", "FREE-07", "next"),
    _getter("next", "next", "FREE-07"),
    _setter("set_prev", "prev", "FREE-07", "prev"),
    _getter("prev", "prev", "FREE-07"),
    _setter("set_flags", "flags", "LAYOUT-07", "flags"),
    _getter("get_flags", "flags", "LAYOUT-07"),
    _setter("set_order", "order", "LAYOUT-07", "order"),
    _getter("get_order", "order", "LAYOUT-07"),
    _setter("meta_aux_store", "meta_aux", "FRAME-08", "value"),
    _getter("meta_aux_load", "meta_aux", "FRAME-08"),
    _setter("set_refcount", "refcount", "REF-03", "count"),
    _getter("get_refcount", "refcount", "REF-01"),
    _setter("set_generation", "generation", "LAYOUT-07", "generation"),
    _getter("generation", "generation", "LAYOUT-07"),
    _setter("set_guard", "guard", "GUARD-01", "bits"),
    _getter("get_guard", "guard", "GUARD-01"),
    _setter("set_vtable_bits", "vtable", "LAYOUT-07", "bits"),
    _getter("vtable_bits", "vtable", "LAYOUT-07"),
)

REFERENCES = (
    SlotMethod(
        "reset_refcount",
        ("REF-03",),
        _changes(lambda _: {"refcount": 0}),
        stored=("refcount",),
        calls=("set_refcount",),
    ),
    SlotMethod("inc_ref", ("REF-01",), _inc, stored=("refcount",), where=_off_sentinel(*INC_REFUSED)),
    SlotMethod(
        "inc_ref", ("REF-07",), _inc, stored=("refcount",), where=_at_sentinel(*INC_REFUSED), part="sentinel"
    ),
    SlotMethod("dec_ref", ("REF-01",), _dec, stored=("refcount",), where=_off_sentinel(*DEC_REFUSED)),
    SlotMethod(
        "dec_ref",
        ("REF-07",),
        _dec,
        stored=("refcount",),
        where=_at_sentinel(*DEC_REFUSED),
        part="sentinel",
        by_field={"v": "REF-01"},
    ),
    SlotMethod(
        "cas_refcount",
        ("REF-02",),
        _swap,
        (operand("expect", 32), operand("new", 32)),
        ("refcount",),
        _swaps(),
    ),
)

OTHERS = (
    SlotMethod("is_cow", ("FRAME-07",), _tells(lambda slot: bool(slot["flags"] & 1)), stored=("flags",)),
    SlotMethod("is_dll", ("FRAME-07",), _tells(lambda slot: bool(slot["flags"] & 2)), stored=("flags",)),
    SlotMethod(
        "is_guard_poisoned",
        ("GUARD-03",),
        _tells(lambda slot: bool(slot["guard"] & C.guard_poisoned)),
        stored=("guard", "flags"),
        calls=("get_guard",),
    ),
    SlotMethod(
        "fetch_or_guard",
        ("GUARD-01",),
        _or_guard,
        (operand("bits", 32),),
        ("guard",),
        tuple((WORD ^ value, value) for value in around(32)),
    ),
    SlotMethod(
        "mark_poisoned",
        ("GUARD-02",),
        _changes(_poison),
        stored=("guard", "flags"),
        calls=("fetch_or_guard",),
    ),
    SlotMethod(
        "reset_with_free_list_meta",
        ("GUARD-04",),
        _changes(_to_free_list),
        stored=("guard", "vtable"),
        calls=("set_vtable_bits",),
    ),
    SlotMethod(
        "note_new_allocation_epoch",
        ("GEN-01",),
        _changes(_new_epoch),
        stored=("generation",),
        where=lambda before, _: before["generation"] != ONE_FROM_WRAP,
        by_field={"guard": "GUARD-05", "vtable": "GUARD-05", "generation": "GEN-01"},
        calls=("set_vtable_bits", "set_guard"),
    ),
    SlotMethod(
        "note_new_allocation_epoch",
        ("GUARD-05",),
        _changes(_new_epoch),
        stored=("guard", "vtable"),
        part="clears",
    ),
    SlotMethod(
        "note_new_allocation_epoch",
        ("GEN-03",),
        _changes(_new_epoch),
        stored=("generation",),
        where=lambda before, _: before["generation"] == ONE_FROM_WRAP,
        part="wrap",
        by_field={"guard": "GUARD-05", "vtable": "GUARD-05", "generation": "GEN-03"},
    ),
    SlotMethod("debug_snapshot", ("ARRAY-08",), _snapshot, stored=("generation", "guard", "vtable")),
)

SLOT_METHODS = (*ACCESSORS, *REFERENCES, *OTHERS)
"""All but those that follow the vtable, which only the guest knows the addresses of."""

CALLS: dict[str, tuple[str, ...]] = {
    **{name: () for name in dict.fromkeys(method.name for method in SLOT_METHODS)},
    **{method.name: method.calls for method in SLOT_METHODS if method.calls},
    "vtable_ref": ("try_vtable_ref", "vtable_bits"),
    "try_vtable_ref": ("vtable_bits",),
}
"""Every method of a slot, those that follow the vtable included, with the methods that it may call."""
