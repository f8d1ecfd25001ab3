//! Stand-ins for names that an older version of the frame module lacks, so that the shim compiles around it.
//!
//! A stand-in that the shim itself calls does nothing, as before the name existed. A stand-in that only a command calls
//! panics. The host never reaches it, because it asks for nothing that the version lacks.

use super::frame;
#[cfg(lacks = "MetaSlot")]
use super::frame::FrameMeta as MetaSlot;
#[cfg(not(lacks = "FrameMetaVtable"))]
use super::frame::FrameMetaVtable as Vtable;
#[cfg(not(lacks = "MetaSlot"))]
use super::frame::MetaSlot;
use core::sync::atomic::{AtomicU32, Ordering::Release};
use x86_64::PhysAddr;
#[cfg(lacks = "FrameMetaVtable")]
use FrameMetaVtable as Vtable;

/// Poison did not exist: no block has any.
pub fn block_phys_has_poison_guard(_paddr: u64, _order: u8) -> bool {
    false
}

/// Hooks did not exist.
pub fn invoke_vtable_on_last_ref(_paddr: PhysAddr) {}

/// Hooks did not exist.
pub fn invoke_vtable_on_unmap(_paddr: PhysAddr) {}

/// The flags of the version, with the one that the shim's buddy sets in free frames.
pub mod frame_flags {
    #[allow(unused_imports)]
    pub use super::frame::frame_flags::*;

    pub const MOVABLE: u32 = 1 << 13;
}

pub mod meta_guard {
    pub const NONE: u32 = 0;
    pub const KERNEL_ONLY: u32 = 0;
    pub const POISONED: u32 = 0;
}

#[repr(C)]
pub struct FrameMetaVtable {
    pub on_last_ref: Option<fn(PhysAddr)>,
    pub on_unmap: Option<fn(PhysAddr)>,
    pub reserved: [u64; 6],
}

pub static DEFAULT_FRAME_META_VTABLE: Vtable = Vtable { on_last_ref: None, on_unmap: None, reserved: [0; 6] };

pub struct FreeListLink;

pub const META_SLOT_REFCOUNT_BYTE_OFFSET: usize = 0;

pub fn get_meta_slot(_paddr: PhysAddr) -> &'static MetaSlot {
    absent("get_meta_slot")
}

pub fn frame_meta_debug_snapshot(_paddr: PhysAddr) -> (u32, u32, u64) {
    absent("frame_meta_debug_snapshot")
}

pub fn meta_generation_matches(_paddr: PhysAddr, _generation: u32) -> bool {
    absent("meta_generation_matches")
}

/// Declares the trait, with a body that panics for each method in braces.
macro_rules! slot_methods {
    ({ $(fn $name:ident(&self $(, $argument:ident: $type:ty)*) $(-> $result:ty)?;)* } $($others:tt)*) => {
        /// Methods of a slot. Where the version has a method of that name, calls mean that one: Rust prefers inherent methods.
        pub trait SlotMethods {
            $(fn $name(&self $(, $argument: $type)*) $(-> $result)? {
                $(let _ = $argument;)*
                absent(concat!("MetaSlot::", stringify!($name)))
            })*

            $($others)*
        }
    };
}

slot_methods! {
    {
        fn meta_aux_load(&self) -> u32;
        fn meta_aux_store(&self, value: u32);
        fn note_new_allocation_epoch(&self);
        fn get_guard(&self) -> u32;
        fn set_guard(&self, bits: u32);
        fn fetch_or_guard(&self, bits: u32) -> u32;
        fn is_guard_poisoned(&self) -> bool;
        fn mark_poisoned(&self);
        fn debug_snapshot(&self) -> (u32, u32, u64);
        fn set_vtable_bits(&self, bits: u64);
        fn vtable_ref(&self) -> &'static Vtable;
        fn try_vtable_ref(&self) -> Option<&'static Vtable>;
        fn generation(&self) -> u32;
        fn set_generation(&self, generation: u32);
        fn cas_refcount(&self, expect: u32, new: u32) -> Result<u32, u32>;
    }

    const REFCOUNT_BYTE_OFFSET: usize = 0;

    /// Guard and vtable did not exist: there is nothing to reset.
    fn reset_with_free_list_meta(&self) {}

    /// No vtable is registered.
    fn vtable_bits(&self) -> u64 {
        0
    }

    /// The buddy stamps free frames with it.
    fn set_refcount(&self, count: u32);
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

fn absent(name: &str) -> ! {
    panic!("not in this version of the frame module: {name}")
}
