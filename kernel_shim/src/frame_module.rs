//! The frame module of either kernel, as the commands for a memory core ask for it.

use crate::memory::buddy;
#[cfg(older)]
use crate::memory::subject::SlotMethods as _;
use crate::memory::subject::{self as frame, AllocError, PhysFrame};
use crate::memory_core::CoreError;
use crate::sync::with_irqs_disabled;
use shim_parts::text::Text;
use x86_64::PhysAddr;

/// Whether it can be asked for frames, whether its slots have a count that says that nobody has a frame, and poison.
pub const HAS_OPTIONS: bool = cfg!(core_has = "frame_options");
pub const HAS_SLOTS: bool = cfg!(all(core_has = "frame_options", core_has = "unused"));
pub const HAS_POISON: bool = cfg!(all(core_has = "mark_poisoned", not(lacks = "MetaSlot::mark_poisoned")));

/// A frame that is asked for through a builder: `zeroed()` with the first value, `purpose()`, `zeroed()` with the last.
pub struct WantedFrame {
    pub zeroed_before: Option<bool>,
    pub purpose: Purpose,
    pub zeroed_after: Option<bool>,
}

#[derive(Clone, Copy)]
pub enum Purpose {
    PageTable,
    Kernel,
    User,
}

/// By name the count of a frame that nobody has, and flags. 0 for a flag that this version lacks.
pub type SlotWords = [(&'static str, u32); 6];

/// Gives a block back to the allocator.
pub fn free(paddr: u64, order: u8) {
    let start_address = PhysAddr::new_truncate(paddr);
    with_irqs_disabled(|token| buddy::free(token, PhysFrame { start_address }, order));
}

/// The address of what was given, or the error by its name.
pub fn address(given: Result<PhysFrame, AllocError>) -> Result<u64, CoreError> {
    let named = |error| CoreError::named(Text::<32>::from_args(format_args!("{error:?}")).as_str());
    given.map(|frame| frame.start_address.as_u64()).map_err(named)
}

pub fn poison(_paddr: PhysAddr) -> Result<(), CoreError> {
    #[cfg(core_has = "mark_poisoned")]
    if HAS_POISON {
        frame::get_meta(_paddr).mark_poisoned();
        return Ok(());
    }
    Err(CoreError::Unknown)
}

pub fn words() -> Result<SlotWords, CoreError> {
    #[cfg(not(all(core_has = "frame_options", core_has = "unused")))]
    return Err(CoreError::Unknown);
    #[cfg(all(core_has = "frame_options", core_has = "unused"))]
    {
        use frame::frame_flags as flags;
        #[cfg(core_has = "movable")]
        let movable = flags::MOVABLE;
        #[cfg(not(core_has = "movable"))]
        let movable = 0;
        let (unused, free, allocated) = (frame::REFCOUNT_UNUSED, flags::FREE, flags::ALLOCATED);
        let (kernel, user) = (flags::KERNEL, flags::USER);
        let names = ["unused", "free", "allocated", "kernel", "user", "movable"];
        let words = [unused, free, allocated, kernel, user, movable];
        Ok(core::array::from_fn(|at| (names[at], words[at])))
    }
}

pub fn allocate(_wanted: &WantedFrame) -> Result<u64, CoreError> {
    #[cfg(not(core_has = "frame_options"))]
    return Err(CoreError::Unknown);
    #[cfg(core_has = "frame_options")]
    {
        use frame::{FrameAllocOptions, FramePurpose};
        let purpose = match _wanted.purpose {
            Purpose::PageTable => FramePurpose::PageTable,
            Purpose::Kernel => FramePurpose::KernelData,
            Purpose::User => FramePurpose::UserData,
        };
        let mut options = FrameAllocOptions::new();
        if let Some(zeroed) = _wanted.zeroed_before {
            options = options.zeroed(zeroed);
        }
        options = options.purpose(purpose);
        if let Some(zeroed) = _wanted.zeroed_after {
            options = options.zeroed(zeroed);
        }
        address(with_irqs_disabled(|token| options.allocate(token)))
    }
}

/// Drops a reference to a frame. Returns the count before.
pub fn drop_reference(_paddr: PhysAddr) -> Result<u32, CoreError> {
    #[cfg(all(core_has = "frame_options", core_has = "unused"))]
    return Ok(frame::get_meta(_paddr).dec_ref());
    #[cfg(not(all(core_has = "frame_options", core_has = "unused")))]
    Err(CoreError::Unknown)
}
