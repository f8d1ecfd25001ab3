"""Which functions of the frame module answer for a clause, for a field, for a console command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from frame_harness.contract.functions import Functions
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.frame_metadata.slot_methods import CALLS, SLOT_METHODS

ALLOCATE: Final = "FrameAllocOptions::allocate"
EPOCH: Final = "MetaSlot::note_new_allocation_epoch"
RETURN: Final = "MetaSlot::reset_with_free_list_meta"

_DECIDES: Final[Mapping[str, frozenset[str]]] = {
    "FRAME_META_LINK_NONE": frozenset({"next", "prev"}),
    "REFCOUNT_UNUSED": frozenset({"refcount"}),
    "MetaSlot": frozenset(META_SLOT.widths),
    "FreeListLink": frozenset({"next", "prev"}),
    "meta_guard": frozenset({"guard"}),
    "frame_flags": frozenset({"flags"}),
}

_KEEPS_IN_FREE_MEMORY: Final = {
    "next": "MetaSlot::set_next",
    "prev": "MetaSlot::set_prev",
    "order": "MetaSlot::set_order",
    "refcount": "MetaSlot::set_refcount",
    "flags": "MetaSlot::set_flags",
    "guard": RETURN,
    "vtable": RETURN,
    "generation": EPOCH,
    "meta_aux": ALLOCATE,
    "payload": "MetaSlot::set_next",
}

# The buddy sees to the slots of the blocks that it takes and gives, through the module's own methods.
_BUDDY: Final = (
    *(f"MetaSlot::{name}" for name in ("get_flags", "set_flags", "get_order", "set_order", "set_refcount")),
    *(f"MetaSlot::{name}" for name in ("reset_refcount", "next", "set_next", "prev", "set_prev")),
    "get_meta",
    "get_meta_slot",
)
_FREE: Final = (*_BUDDY, RETURN, "block_phys_has_poison_guard", "MetaSlot::is_guard_poisoned")
_HOOKS: Final = (
    *("invoke_vtable_on_last_ref", "invoke_vtable_on_unmap", "MetaSlot::vtable_ref"),
    *("MetaSlot::try_vtable_ref", "MetaSlot::vtable_bits"),
)
_ALLOCATION: Final = (
    *(f"FrameAllocOptions::{name}" for name in ("new", "default", "zeroed", "purpose", "allocate")),
    *("FramePurpose::requires_zero", EPOCH, "MetaSlot::cas_refcount", "MetaSlot::get_refcount"),
    *(*_FREE, "MetaSlot::mark_poisoned"),
)
_OF_COMMAND: Final[Mapping[str, tuple[str, ...]]] = {
    "alloc": _ALLOCATION,
    "alloc.all": _ALLOCATION,
    "buddy.alloc": _BUDDY,
    "buddy.free": _FREE,
    "buddy.drain": _FREE,
    "release": (*_HOOKS, *_FREE),
    "trait.alloc": (*_BUDDY, "FrameAllocator::alloc"),
    "trait.alloc_frame": (*_BUDDY, "FrameAllocator::alloc_frame", "FrameAllocator::alloc"),
    "trait.free": (*_FREE, "FrameAllocator::free"),
    "slot.new": ("MetaSlot::new",),
    "array.init": ("init_metadata_array", "metadata_size_for", "MetaSlot::new"),
    "array.size": ("metadata_size_for",),
    "array.get": ("get_meta", "get_meta_slot"),
    "array.slot": ("get_meta_slot",),
    "array.snapshot": (
        *("frame_meta_debug_snapshot", "MetaSlot::debug_snapshot", "get_meta"),
        *("MetaSlot::generation", "MetaSlot::get_guard", "MetaSlot::vtable_bits"),
    ),
    "array.matches": ("meta_generation_matches", "MetaSlot::generation", "get_meta"),
    "array.poisoned": ("block_phys_has_poison_guard", "MetaSlot::is_guard_poisoned", "get_meta"),
    "array.unmap": ("invoke_vtable_on_unmap", *_HOOKS[2:], "get_meta"),
    "array.lastref": ("invoke_vtable_on_last_ref", *_HOOKS[2:], "get_meta"),
    "purpose.zero": ("FramePurpose::requires_zero",),
    "frame.containing": ("PhysFrame::containing_address",),
    "frame.from_start": ("PhysFrame::from_start_address", "PhysFrame::containing_address"),
    "frame.range": ("PhysFrame::range_inclusive", "FrameRangeInclusive::next"),
}
_LIFE: Final = (*_ALLOCATION, *_HOOKS)
_OF_STEP: Final[Mapping[str, tuple[str, ...]]] = {
    "inc": ("MetaSlot::inc_ref",),
    "dec": ("MetaSlot::dec_ref",),
    "claim": ("MetaSlot::cas_refcount",),
    "cas": ("MetaSlot::cas_refcount",),
    "own": ("MetaSlot::cas_refcount", "MetaSlot::set_refcount", "MetaSlot::meta_aux_store"),
    "set": ("MetaSlot::set_refcount",),
    "alloc": _ALLOCATION,
    "alloc.user": _ALLOCATION,
    "alloc.zeroed": _ALLOCATION,
    "alloc.table": _ALLOCATION,
    "alloc.custom": _ALLOCATION,
    "hook": ("MetaSlot::set_vtable_bits",),
    "flagged": ("MetaSlot::get_flags",),
    "drop": (*_HOOKS, *_FREE),
    "churn": _LIFE,
    "poison": ("MetaSlot::mark_poisoned", "MetaSlot::fetch_or_guard"),
    "rewrite": ("MetaSlot::get_flags", "MetaSlot::set_flags"),
    "heal": ("MetaSlot::set_guard",),
    "has": ("MetaSlot::get_flags",),
    "hasnot": ("MetaSlot::get_flags",),
}
_LINKS: Final = tuple(f"MetaSlot::{name}" for name in ("next", "set_next", "prev", "set_prev"))
_FILLED: Final = ("init_metadata_array", "MetaSlot::new")
_SLOT: Final = tuple(f"MetaSlot::{name}" for name in CALLS)
_SNAPSHOTS: Final = ("frame_meta_debug_snapshot", "meta_generation_matches", "block_phys_has_poison_guard")
_OF_CLAUSE: Final[Mapping[str, frozenset[str]]] = {
    clause: frozenset(functions)
    for clauses, functions in (
        ("ALLOC-02 ALLOC-04 ALLOC-05 ALLOC-06 ALLOC-07 ALLOC-08 ALLOC-09 ALLOC-10 ALLOC-11", (ALLOCATE,)),
        ("ALLOC-13 ALLOC-15 FREE-08", (ALLOCATE,)),
        ("GUARD-08", (ALLOCATE, "MetaSlot::mark_poisoned")),
        ("ALLOC-14", (ALLOCATE, *_BUDDY)),
        ("ARRAY-03 ARRAY-11", _FILLED),
        ("ARRAY-07", ("get_meta_slot", "get_meta")),
        ("ARRAY-08", ("frame_meta_debug_snapshot", "MetaSlot::debug_snapshot")),
        ("CONST-05", ("MetaSlot::set_guard", "MetaSlot::fetch_or_guard", "MetaSlot::set_flags")),
        ("FRAME-06", ("FrameAllocator::alloc_frame", "FrameAllocator::alloc", "FrameAllocator::free")),
        ("FRAME-07", ("MetaSlot::is_cow", "MetaSlot::is_dll")),
        ("FRAME-08", ("MetaSlot::meta_aux_load", "MetaSlot::meta_aux_store")),
        ("FREE-01 FREE-02", (*_FREE, *_FILLED)),
        ("FREE-03", (*_LINKS, *_FILLED)),
        ("FREE-04 FREE-05", ("MetaSlot::get_order", "MetaSlot::set_order", *_LINKS, *_FILLED)),
        ("FREE-06 FREE-09", (*_FREE, *_FILLED)),
        ("FREE-07", _LINKS),
        ("GEN-01", (ALLOCATE, *_SLOT, *_FREE, *_SNAPSHOTS)),
        ("GEN-02", ("meta_generation_matches", "MetaSlot::generation", ALLOCATE, EPOCH)),
        ("GEN-03", (ALLOCATE, EPOCH)),
        ("GUARD-01", ("MetaSlot::get_guard", "MetaSlot::set_guard", "MetaSlot::fetch_or_guard")),
        ("GUARD-02", ("MetaSlot::mark_poisoned",)),
        ("GUARD-03", ("MetaSlot::is_guard_poisoned",)),
        ("GUARD-04", (RETURN,)),
        ("GUARD-05", (ALLOCATE, EPOCH)),
        ("GUARD-06", ("block_phys_has_poison_guard",)),
        ("GUARD-07", (RETURN, "block_phys_has_poison_guard")),
        ("LAYOUT-07", (*_SLOT, *_SNAPSHOTS, *_BUDDY)),
        ("REF-01", ("MetaSlot::inc_ref", "MetaSlot::dec_ref", "MetaSlot::get_refcount")),
        ("REF-02", ("MetaSlot::cas_refcount",)),
        ("REF-03", ("MetaSlot::set_refcount", "MetaSlot::reset_refcount")),
        ("REF-07", ("MetaSlot::inc_ref", "MetaSlot::dec_ref")),
        ("VT-02", ("MetaSlot::set_vtable_bits", "MetaSlot::vtable_bits", *_HOOKS[2:])),
        ("VT-03", ("MetaSlot::try_vtable_ref", "MetaSlot::vtable_ref", *_HOOKS[:2])),
        ("VT-04 VT-05", _HOOKS[:2]),
    )
    for clause in clauses.split()
}
_MUST_RETURN: Final[Mapping[str, str]] = {
    **{f"MetaSlot::{method.name}": method.clauses[0] for method in reversed(SLOT_METHODS)},
    "metadata_size_for": "ARRAY-01",
    "init_metadata_array": "ARRAY-03",
    "get_meta_slot": "ARRAY-06",
    "get_meta": "ARRAY-06",
    "block_phys_has_poison_guard": "GUARD-06",
    ALLOCATE: "ALLOC-09",
}
_NAMED: Final = {
    **{f"slot.{name}": f"MetaSlot::{name}" for name in CALLS},
    **{
        command: functions[0]
        for command, functions in _OF_COMMAND.items()
        if command.startswith(("array.", "frame.", "purpose."))
    },
}
_CALLS: Final[Mapping[str, frozenset[str]]] = {
    ALLOCATE: frozenset(_ALLOCATION) - {ALLOCATE},
    **{
        functions[0]: frozenset((*functions[1:], "get_meta_slot")) - {functions[0]}
        for command, functions in _OF_COMMAND.items()
        if command.startswith("array.") and "get_meta" in functions
    },
    **{f"MetaSlot::{name}": frozenset(f"MetaSlot::{one}" for one in calls) for name, calls in CALLS.items()},
}

FUNCTIONS: Final = Functions(
    of_command={
        **{f"slot.{name}": {f"MetaSlot::{name}", *_CALLS[f"MetaSlot::{name}"]} for name in CALLS},
        **_OF_COMMAND,
    },
    of_step=_OF_STEP,
    calls=_CALLS,
    named=_NAMED,
    decides=_DECIDES,
    nested=frozenset({("FreeListLink", "MetaSlot")}),
    keeps=_KEEPS_IN_FREE_MEMORY,
    of_clause=_OF_CLAUSE,
    must_return=_MUST_RETURN,
    allocates=ALLOCATE,
)
