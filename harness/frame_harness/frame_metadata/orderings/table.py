"""States for each function which memory orderings the contract asks of it."""

from __future__ import annotations

from typing import Final

from frame_harness.orderings.demands import Need
from frame_harness.orderings.events import MemoryOrder

MON, ACQ, REL, ACQ_REL = MemoryOrder.MONOTONIC, MemoryOrder.ACQUIRE, MemoryOrder.RELEASE, MemoryOrder.ACQ_REL

ORDERING_CLAUSES: Final = (
    "ARRAY-12", "ALLOC-12", "ALLOC-16", "REF-08", "REF-09", "GEN-04", "GUARD-10", "VT-07", "FREE-07",
    "FRAME-08",
)  # fmt: skip

# Which clause is broken when a field is touched by anything but an atomic.
CLAUSE_OF_FIELD: Final = {
    "next": "FREE-07",
    "prev": "FREE-07",
    "vtable": "VT-07",
    "flags": "REF-08",
    "order": "REF-08",
    "refcount": "REF-08",
    "generation": "GEN-04",
    "guard": "GUARD-10",
    "meta_aux": "FRAME-08",
}


def _slot(clause: str, method: str, what: str, field: str, order: MemoryOrder) -> Need:
    return Need(clause, f"MetaSlot::{method}", what, field, order)


def _getter(clause: str, getter: str, field: str) -> Need:
    return _slot(clause, getter, "read", field, ACQ)


def _setter(clause: str, setter: str, field: str) -> Need:
    return _slot(clause, setter, "write", field, REL)


def _epoch(clause: str, what: str, field: str) -> Need:
    return Need(clause, NEW_EPOCH, what, field, REL, ceiling=ACQ_REL, optional=True)


NEW_EPOCH: Final = "MetaSlot::note_new_allocation_epoch"
# Not an exact list of instructions: whatever does at least this fulfills the contract. The accessors of flags
# and order stand among those of the reference count in the contract, hence under REF-08.
NEEDS: Final = (
    # inc_ref and dec_ref may refuse (count left as found), so the update need not be on every path.
    Need("REF-08", "MetaSlot::inc_ref", "update", "refcount", MON, always=False),
    Need("REF-08", "MetaSlot::dec_ref", "update", "refcount", REL, ceiling=ACQ_REL, always=False),
    Need("REF-08", "MetaSlot::cas_refcount", "update", "refcount", ACQ_REL, failure=ACQ),
    _getter("REF-08", "get_refcount", "refcount"),
    _setter("REF-08", "set_refcount", "refcount"),
    _setter("REF-08", "reset_refcount", "refcount"),
    _getter("REF-08", "get_flags", "flags"),
    _getter("REF-08", "is_cow", "flags"),
    _getter("REF-08", "is_dll", "flags"),
    _setter("REF-08", "set_flags", "flags"),
    # mark_poisoned may find that both marks are there already.
    Need("REF-08", "MetaSlot::mark_poisoned", "write", "flags", REL, ceiling=ACQ_REL, always=False),
    _getter("REF-08", "get_order", "order"),
    _setter("REF-08", "set_order", "order"),
    _getter("GEN-04", "generation", "generation"),
    _setter("GEN-04", "set_generation", "generation"),
    _epoch("GEN-04", "update", "generation"),
    _getter("GEN-04", "debug_snapshot", "generation"),
    Need("GEN-04", "frame_meta_debug_snapshot", "read", "generation", ACQ),
    Need("GEN-04", "meta_generation_matches", "read", "generation", ACQ),
    Need("GEN-04", "FrameAllocOptions::allocate", "update", "generation", REL, ceiling=ACQ_REL, always=False),
    # The claim, the publication, and whatever else is left in the count on the way.
    Need("REF-08", "FrameAllocOptions::allocate", "write", "refcount", REL, always=False),
    _getter("GUARD-10", "get_guard", "guard"),
    _getter("GUARD-10", "is_guard_poisoned", "guard"),
    _getter("GUARD-10", "debug_snapshot", "guard"),
    _setter("GUARD-10", "set_guard", "guard"),
    _slot("GUARD-10", "fetch_or_guard", "update", "guard", ACQ_REL),
    Need("GUARD-10", "MetaSlot::mark_poisoned", "update", "guard", ACQ_REL, always=False),
    _getter("GUARD-10", "reset_with_free_list_meta", "guard"),
    _setter("GUARD-10", "reset_with_free_list_meta", "guard"),
    _epoch("GUARD-10", "write", "guard"),
    Need("GUARD-10", "block_phys_has_poison_guard", "read", "guard", ACQ, always=False),
    _getter("VT-07", "vtable_bits", "vtable"),
    _getter("VT-07", "try_vtable_ref", "vtable"),
    _getter("VT-07", "vtable_ref", "vtable"),
    _getter("VT-07", "debug_snapshot", "vtable"),
    _setter("VT-07", "set_vtable_bits", "vtable"),
    _setter("VT-07", "reset_with_free_list_meta", "vtable"),
    _epoch("VT-07", "write", "vtable"),
    Need("VT-07", "invoke_vtable_on_unmap", "read", "vtable", ACQ),
    Need("VT-07", "invoke_vtable_on_last_ref", "read", "vtable", ACQ),
    _getter("FREE-07", "next", "next"),
    _getter("FREE-07", "prev", "prev"),
    _setter("FREE-07", "set_next", "next"),
    _setter("FREE-07", "set_prev", "prev"),
    _slot("FRAME-08", "meta_aux_load", "read", "meta_aux", MON),
    _slot("FRAME-08", "meta_aux_store", "write", "meta_aux", MON),
)

ALLOCATE: Final = "FrameAllocOptions::allocate"
INIT: Final = "init_metadata_array"
LOOKUP: Final = "get_meta_slot"
DEC_REF: Final = "MetaSlot::dec_ref"
# Reached through `get_meta_slot`, or asking the statics on their own account.
READERS: Final = (LOOKUP, "get_meta", "block_phys_has_poison_guard")
