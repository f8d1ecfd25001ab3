//! The subject as the shim uses it: its names, with stand-ins for those that an older version lacks.

pub use super::frame::*;

// The table was once made of what is now an alias.
#[cfg(lacks = "MetaSlot")]
pub use super::frame::FrameMeta as MetaSlot;

#[cfg(lacks = "block_phys_has_poison_guard")]
pub use super::absent::block_phys_has_poison_guard;
#[cfg(lacks = "frame_flags::MOVABLE")]
pub use super::absent::frame_flags;
#[cfg(lacks = "frame_meta_debug_snapshot")]
pub use super::absent::frame_meta_debug_snapshot;
#[cfg(lacks = "get_meta_slot")]
pub use super::absent::get_meta_slot;
#[cfg(lacks = "invoke_vtable_on_last_ref")]
pub use super::absent::invoke_vtable_on_last_ref;
#[cfg(lacks = "invoke_vtable_on_unmap")]
pub use super::absent::invoke_vtable_on_unmap;
#[cfg(lacks = "meta_generation_matches")]
pub use super::absent::meta_generation_matches;
#[cfg(lacks = "meta_guard")]
pub use super::absent::meta_guard;
#[cfg(lacks = "FrameMetaVtable")]
pub use super::absent::FrameMetaVtable;
#[cfg(lacks = "FreeListLink")]
pub use super::absent::FreeListLink;
#[cfg(lacks = "DEFAULT_FRAME_META_VTABLE")]
pub use super::absent::DEFAULT_FRAME_META_VTABLE;
#[cfg(lacks = "META_SLOT_REFCOUNT_BYTE_OFFSET")]
pub use super::absent::META_SLOT_REFCOUNT_BYTE_OFFSET;

#[cfg(older)]
pub use super::absent::SlotMethods;
