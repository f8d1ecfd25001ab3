//! Stand-ins for names that an older version of the frame module lacks, so that the shim compiles around it.
//!
//! What the shim itself calls does nothing, as before there was such a thing. What only a command calls is never reached
//! from the host, which asks for nothing that the version lacks.

use super::frame;
use super::subject::{FrameMetaVtable as Vtable, MetaSlot};
use core::sync::atomic::{AtomicU32, Ordering::Release};
use x86_64::PhysAddr;

/// Poison was not known: no block has any.
#[allow(dead_code)]
pub fn block_phys_has_poison_guard(_paddr: u64, _order: u8) -> bool {
    false
}

/// Hooks were not known.
#[allow(dead_code)]
pub fn invoke_vtable_on_last_ref(_paddr: PhysAddr) {}

/// Hooks were not known.
#[allow(dead_code)]
pub fn invoke_vtable_on_unmap(_paddr: PhysAddr) {}

/// The flags of the version, with the one that the shim's buddy sets in free frames all the same.
pub mod frame_flags {
    #[allow(unused_imports)]
    pub use super::frame::frame_flags::*;

    #[allow(dead_code)]
    pub const MOVABLE: u32 = 1 << 13;
}

#[allow(dead_code)]
pub mod meta_guard {
    pub const NONE: u32 = 0;
    pub const KERNEL_ONLY: u32 = 0;
    pub const POISONED: u32 = 0;
}

#[allow(dead_code)]
#[repr(C)]
pub struct FrameMetaVtable {
    pub on_last_ref: Option<fn(PhysAddr)>,
    pub on_unmap: Option<fn(PhysAddr)>,
    pub reserved: [u64; 6],
}

#[allow(dead_code)]
pub static DEFAULT_FRAME_META_VTABLE: Vtable = Vtable { on_last_ref: None, on_unmap: None, reserved: [0; 6] };

#[allow(dead_code)]
pub struct FreeListLink;

#[allow(dead_code)]
pub const META_SLOT_REFCOUNT_BYTE_OFFSET: usize = 0;

#[allow(dead_code)]
pub fn get_meta_slot(_paddr: PhysAddr) -> &'static MetaSlot {
    absent("get_meta_slot")
}

#[allow(dead_code)]
pub fn frame_meta_debug_snapshot(_paddr: PhysAddr) -> (u32, u32, u64) {
    absent("frame_meta_debug_snapshot")
}

#[allow(dead_code)]
pub fn meta_generation_matches(_paddr: PhysAddr, _generation: u32) -> bool {
    absent("meta_generation_matches")
}

/// Methods of a slot. Where the version has one of its own, calls mean that one: inherent methods go first.
#[allow(dead_code)]
pub trait SlotMethods {
    const REFCOUNT_BYTE_OFFSET: usize = 0;

    /// Guard and vtable were not known: there is nothing to reset.
    fn reset_with_free_list_meta(&self) {}

    /// No vtable is registered.
    fn vtable_bits(&self) -> u64 {
        0
    }

    fn meta_aux_load(&self) -> u32 {
        absent("MetaSlot::meta_aux_load")
    }

    fn meta_aux_store(&self, _value: u32) {
        absent("MetaSlot::meta_aux_store")
    }

    fn note_new_allocation_epoch(&self) {
        absent("MetaSlot::note_new_allocation_epoch")
    }

    fn get_guard(&self) -> u32 {
        absent("MetaSlot::get_guard")
    }

    fn set_guard(&self, _bits: u32) {
        absent("MetaSlot::set_guard")
    }

    fn fetch_or_guard(&self, _bits: u32) -> u32 {
        absent("MetaSlot::fetch_or_guard")
    }

    fn is_guard_poisoned(&self) -> bool {
        absent("MetaSlot::is_guard_poisoned")
    }

    fn mark_poisoned(&self) {
        absent("MetaSlot::mark_poisoned")
    }

    fn debug_snapshot(&self) -> (u32, u32, u64) {
        absent("MetaSlot::debug_snapshot")
    }

    fn set_vtable_bits(&self, _bits: u64) {
        absent("MetaSlot::set_vtable_bits")
    }

    fn vtable_ref(&self) -> &'static Vtable {
        absent("MetaSlot::vtable_ref")
    }

    fn try_vtable_ref(&self) -> Option<&'static Vtable> {
        absent("MetaSlot::try_vtable_ref")
    }

    fn generation(&self) -> u32 {
        absent("MetaSlot::generation")
    }

    fn set_generation(&self, _generation: u32) {
        absent("MetaSlot::set_generation")
    }

    /// The buddy stamps free frames with it.
    fn set_refcount(&self, count: u32);

    fn cas_refcount(&self, _expect: u32, _new: u32) -> Result<u32, u32> {
        absent("MetaSlot::cas_refcount")
    }
}

impl SlotMethods for MetaSlot {
    fn set_refcount(&self, count: u32) {
        // Release: pairs with the load in `get_refcount`, as in the versions that have the method.
        self.refcount.store(count, Release);
    }
}

/// The field in which storms leave their marks.
#[cfg(lacks = "MetaSlot.meta_aux")]
pub fn meta_aux(_slot: &MetaSlot) -> &AtomicU32 {
    absent("MetaSlot.meta_aux")
}

#[allow(dead_code)]
fn absent(name: &str) -> ! {
    panic!("not in this version of the frame module: {name}")
}
