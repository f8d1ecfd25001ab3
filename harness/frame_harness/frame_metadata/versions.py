"""The names that the harness uses of a frame module, with what depends on those that a version lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from frame_harness.contract.versions import Alternative, Name, Versions


def _constant(path: str, kind: str, *, needed: bool = False) -> Name:
    return Name(path, f"let _: {kind} = {path};", needed)


def _method(name: str, result: str, *arguments: str, needed: bool = False) -> Name:
    call = f"slot.{name}({', '.join(arguments)})"
    return Name(f"MetaSlot::{name}", f"let _: {result} = {call};" if result else f"{call};", needed)


_SLOT: Final = "MetaSlot::"
_FLAGS: Final = ("COW", "DLL", "ANONYMOUS", "ALLOCATED", "FREE", "KERNEL", "USER", "POISONED")
_NEEDED: Final = (
    _constant("PAGE_SIZE", "u64", needed=True),
    _constant("FRAME_META_SIZE", "usize", needed=True),
    _constant("FRAME_META_ALIGN", "usize", needed=True),
    _constant("FRAME_META_LINK_NONE", "u64", needed=True),
    _constant("REFCOUNT_UNUSED", "u32", needed=True),
    *(_constant(f"frame_flags::{flag}", "u32", needed=True) for flag in _FLAGS),
    Name("FrameMeta", "let _: Option<FrameMeta> = None;", needed=True),
    Name("metadata_size_for", "let _: u64 = metadata_size_for(0);", needed=True),
    Name("init_metadata_array", "init_metadata_array(0, boot);", needed=True),
    Name("get_meta", "let _: &'static Slot = get_meta(paddr);", needed=True),
    Name(
        "FrameAllocOptions",
        "let _: Result<PhysFrame, AllocError> = "
        "FrameAllocOptions::new().zeroed(true).purpose(FramePurpose::Custom(0)).allocate(token);",
        needed=True,
    ),
    Name(
        "FramePurpose",
        "let _ = [FramePurpose::PageTable, FramePurpose::KernelData, FramePurpose::UserData];",
        needed=True,
    ),
    Name("AllocError", "let _ = [AllocError::OutOfMemory, AllocError::InvalidOrder];", needed=True),
    Name("PhysFrame", "let _: PhysFrame = PhysFrame { start_address: paddr };", needed=True),
    Name(
        "FrameAllocator",
        "fn _f<A: FrameAllocator>(a: &mut A, token: &IrqDisabledToken) { a.alloc(0, token).ok(); }",
        needed=True,
    ),
    Name("MetaSlot.flags", "let _: &core::sync::atomic::AtomicU32 = &slot.flags;", needed=True),
    Name("MetaSlot::new", "let _: Slot = Slot::new();", needed=True),
    _method("next", "u64", needed=True),
    _method("set_next", "", "0", needed=True),
    _method("prev", "u64", needed=True),
    _method("set_prev", "", "0", needed=True),
    _method("get_flags", "u32", needed=True),
    _method("set_flags", "", "0", needed=True),
    _method("get_order", "u8", needed=True),
    _method("set_order", "", "0", needed=True),
    _method("get_refcount", "u32", needed=True),
    Name("MetaSlot.refcount", "let _: &core::sync::atomic::AtomicU32 = &slot.refcount;", needed=True),
    _method("reset_refcount", "", needed=True),
    _method("inc_ref", "", needed=True),
    _method("dec_ref", "u32", needed=True),
    _method("is_cow", "bool", needed=True),
    _method("is_dll", "bool", needed=True),
)
_LATER: Final = (
    _constant("frame_flags::MOVABLE", "u32"),
    Name("MetaSlot", "let _: Option<MetaSlot> = None;"),
    _method("set_refcount", "", "0"),
    Name("MetaSlot::cas_refcount", "let _: Result<u32, u32> = slot.cas_refcount(0, 0);"),
    Name(
        "meta_guard", "let _: [u32; 3] = [meta_guard::NONE, meta_guard::KERNEL_ONLY, meta_guard::POISONED];"
    ),
    Name("FreeListLink", "let _: Option<FreeListLink> = None;"),
    Name(
        "FrameMetaVtable", "let _ = FrameMetaVtable { on_last_ref: None, on_unmap: None, reserved: [0; 6] };"
    ),
    Name("DEFAULT_FRAME_META_VTABLE", "let _: &'static FrameMetaVtable = &DEFAULT_FRAME_META_VTABLE;"),
    _constant("META_SLOT_REFCOUNT_BYTE_OFFSET", "usize"),
    Name("MetaSlot::REFCOUNT_BYTE_OFFSET", "let _: usize = Slot::REFCOUNT_BYTE_OFFSET;"),
    Name("MetaSlot.vtable", "let _ = &slot.vtable;"),
    Name("MetaSlot.generation", "let _ = &slot.generation;"),
    Name("MetaSlot.guard", "let _ = &slot.guard;"),
    Name("MetaSlot.meta_aux", "let _: &core::sync::atomic::AtomicU32 = &slot.meta_aux;"),
    _method("reset_with_free_list_meta", ""),
    _method("meta_aux_load", "u32"),
    _method("meta_aux_store", "", "0"),
    _method("note_new_allocation_epoch", ""),
    _method("get_guard", "u32"),
    _method("set_guard", "", "0"),
    _method("fetch_or_guard", "u32", "0"),
    _method("is_guard_poisoned", "bool"),
    _method("mark_poisoned", ""),
    _method("debug_snapshot", "(u32, u32, u64)"),
    _method("vtable_bits", "u64"),
    _method("set_vtable_bits", "", "0"),
    _method("vtable_ref", "&'static FrameMetaVtable"),
    _method("try_vtable_ref", "Option<&'static FrameMetaVtable>"),
    _method("generation", "u32"),
    _method("set_generation", "", "0"),
    Name("get_meta_slot", "let _: &'static Slot = get_meta_slot(paddr);"),
    Name("frame_meta_debug_snapshot", "let _: (u32, u32, u64) = frame_meta_debug_snapshot(paddr);"),
    Name("meta_generation_matches", "let _: bool = meta_generation_matches(paddr, 0);"),
    Name("block_phys_has_poison_guard", "let _: bool = block_phys_has_poison_guard(0, 0);"),
    Name("invoke_vtable_on_unmap", "invoke_vtable_on_unmap(paddr);"),
    Name("invoke_vtable_on_last_ref", "invoke_vtable_on_last_ref(paddr);"),
)
# Not a name of the module's: it calls what cannot fail, so nothing that it says of a failure is its own.
_FALLIBLE_BOOT: Final = Alternative(
    name="use of BootAllocator::try_alloc", asked="BootAllocator::alloc", flag="--cfg=may_fail"
)

# What a clause speaks of beyond what every version must have; a field stands for its accessors, too.
_WHOLE_SLOT: Final = (
    "MetaSlot",
    "MetaSlot.vtable",
    "MetaSlot.generation",
    "MetaSlot.guard",
    "MetaSlot.meta_aux",
)
_HOOKS: Final = ("FrameMetaVtable", "MetaSlot.vtable", "MetaSlot::set_vtable_bits")
_BY_CLAUSE: Final[Mapping[str, tuple[str, ...]]] = {
    "CONST-03": ("meta_guard",),
    "CONST-04": ("frame_flags::MOVABLE",),
    "CONST-05": ("MetaSlot.guard", "MetaSlot::mark_poisoned"),
    "LAYOUT-01": ("MetaSlot",),
    "LAYOUT-02": _WHOLE_SLOT,
    "LAYOUT-03": ("META_SLOT_REFCOUNT_BYTE_OFFSET", "MetaSlot::REFCOUNT_BYTE_OFFSET"),
    "LAYOUT-04": ("FreeListLink",),
    "LAYOUT-05": ("FrameMetaVtable", "MetaSlot.vtable"),
    "LAYOUT-06": ("MetaSlot",),
    "LAYOUT-07": _WHOLE_SLOT,
    "ARRAY-05": (_FALLIBLE_BOOT.name,),
    "ARRAY-08": ("get_meta_slot", "frame_meta_debug_snapshot"),
    "ALLOC-02": ("frame_flags::MOVABLE",),
    "ALLOC-08": ("frame_flags::MOVABLE",),
    "ALLOC-09": _WHOLE_SLOT,
    "ALLOC-12": ("MetaSlot.vtable", "MetaSlot.generation", "MetaSlot.guard"),
    "ALLOC-13": ("MetaSlot.generation",),
    "ALLOC-16": ("MetaSlot.vtable", "MetaSlot.generation", "MetaSlot.guard"),
    "REF-02": ("MetaSlot::cas_refcount",),
    "REF-03": ("MetaSlot::set_refcount",),
    "REF-05": ("MetaSlot::cas_refcount",),
    "REF-08": ("MetaSlot::cas_refcount",),
    "FREE-02": ("MetaSlot.vtable", "MetaSlot.guard"),
    "FRAME-08": ("MetaSlot.meta_aux",),
}
_BY_SECTION: Final[Mapping[str, tuple[str, ...]]] = {
    "GEN": ("MetaSlot.generation",),
    "GUARD": ("meta_guard", "MetaSlot.guard"),
    "VT": _HOOKS,
}
_BY_COMMAND: Final[Mapping[str, tuple[str, ...]]] = {
    **{f"slot.{one.path.removeprefix(_SLOT)}": (one.path,) for one in _LATER if one.path.startswith(_SLOT)},
    "array.slot": ("get_meta_slot",),
    "array.snapshot": ("frame_meta_debug_snapshot",),
    "array.matches": ("meta_generation_matches",),
    "array.poisoned": ("block_phys_has_poison_guard",),
    "array.unmap": ("invoke_vtable_on_unmap",),
    "array.lastref": ("invoke_vtable_on_last_ref",),
    "vt.addr": ("FrameMetaVtable",),
}
_BY_STEP: Final[Mapping[str, tuple[str, ...]]] = {
    "claim": ("MetaSlot::cas_refcount",),
    "own": ("MetaSlot::cas_refcount", "MetaSlot::set_refcount", "MetaSlot.meta_aux"),
    "cas": ("MetaSlot::cas_refcount",),
    "set": ("MetaSlot::set_refcount",),
    "alloc": ("MetaSlot.meta_aux",),
    "alloc.user": ("MetaSlot.meta_aux",),
    "alloc.zeroed": ("MetaSlot.meta_aux",),
    "alloc.table": ("MetaSlot.meta_aux",),
    "alloc.custom": ("MetaSlot.meta_aux",),
    "hook": ("MetaSlot::set_vtable_bits",),
    "drop": ("MetaSlot.meta_aux",),
    "churn": ("MetaSlot.meta_aux", "MetaSlot::set_vtable_bits"),
    "poison": ("MetaSlot::mark_poisoned",),
    "heal": ("MetaSlot::set_guard",),
    "look": ("MetaSlot::generation", "MetaSlot::get_guard", "MetaSlot::vtable_bits"),
    "life": ("MetaSlot::generation",),
}


VERSIONS: Final = Versions(
    names=(*_NEEDED, *_LATER),
    scope="""\
use crate::memory::boot_alloc::BootAllocator;
use crate::memory::frame::*;
use crate::sync::IrqDisabledToken;
use x86_64::PhysAddr;
""",
    arguments="slot: &Slot, paddr: PhysAddr, token: &IrqDisabledToken, boot: &mut BootAllocator",
    slot=("MetaSlot", "FrameMeta"),
    alternative=_FALLIBLE_BOOT,
    by_clause=_BY_CLAUSE,
    by_section=_BY_SECTION,
    by_command=_BY_COMMAND,
    by_step=_BY_STEP,
    whole_slot=_WHOLE_SLOT,
)
