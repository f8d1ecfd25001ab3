//! The allocator that a frame module uses before the buddy exists. It hands out RAM for good.

use super::cpu_lock::{CpuLock, Held};
use super::phys_to_virt;
use crate::memory_map;
use core::ptr;
use shim_parts::boot_frames::BootFrames;
use shim_parts::frame_ranges::FrameRanges;
use shim_parts::memory_map::Map;
use shim_parts::pfn_to_paddr;
use shim_parts::random::garbage_page;
use x86_64::PhysAddr;

/// The allocator that took over the RAM of the memory map at boot.
pub static LOCK: CpuLock<BootAllocator> = CpuLock::new(BootAllocator { frames: BootFrames::new() });

/// Waits for the allocator.
pub fn lock() -> Held<'static, BootAllocator> {
    LOCK.lock()
}

/// Takes over RAM that nobody uses.
pub fn init(free: FrameRanges) {
    lock().frames.add(free);
}

/// The published memory map with the frames that were handed out.
pub fn current_map() -> Map {
    memory_map::published().with_taken(lock().frames.taken())
}

/// The allocator with the interface that frame modules know.
pub struct BootAllocator {
    pub frames: BootFrames,
}

impl BootAllocator {
    /// `size` bytes at a multiple of `align` (a power of two) that the HHDM maps. The HHDM maps all RAM.
    ///
    /// The memory is full of garbage, so that a module that does not initialize it is found out. Scarce zones come last.
    pub fn try_alloc_accessible(&mut self, size: usize, align: usize) -> Option<PhysAddr> {
        let grant = self.frames.take(size, align)?;
        let page = garbage_page(grant.pfns.start);
        for pfn in grant.pfns {
            let frame = ptr::with_exposed_provenance_mut::<u8>(phys_to_virt(pfn_to_paddr(pfn)) as usize);
            // SAFETY: the frame is RAM that the HHDM maps. It was free until this call, so nothing refers to it. `page`
            // lies on the kernel's stack, which is never free RAM.
            unsafe { frame.copy_from_nonoverlapping(page.as_ptr(), page.len()) }
        }
        Some(PhysAddr::new(grant.paddr))
    }

    /// The same under its older name.
    #[allow(dead_code)]
    pub fn try_alloc(&mut self, size: usize, align: usize) -> Option<PhysAddr> {
        self.try_alloc_accessible(size, align)
    }

    /// The same for callers that cannot go on without memory.
    #[allow(dead_code)]
    pub fn alloc(&mut self, size: usize, align: usize) -> PhysAddr {
        let found = self.try_alloc(size, align);
        found.unwrap_or_else(|| panic!("boot allocator: no {size} bytes at a multiple of {align}"))
    }
}
