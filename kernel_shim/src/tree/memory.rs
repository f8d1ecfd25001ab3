// The memory core of a kernel tree, with what it asks the rest of its kernel's `memory` for.
//
// `build.rs` includes this text in the module `memory`, beside the tree's files.

pub use crate::arch::paging::phys_to_virt;

/// What [`phys_to_virt`] adds.
#[allow(dead_code)]
pub fn hhdm_offset() -> u64 {
    crate::arch::paging::HHDM_BASE
}

pub mod paging {
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// Where the HHDM ends for the core. Relaxed throughout: it is set before the core starts, on the same CPU.
    static HHDM_END: AtomicU64 = AtomicU64::new(u64::MAX);

    pub fn set_hhdm_end(paddr: u64) {
        HHDM_END.store(paddr, Relaxed);
    }

    /// Whether the core may reach `size` bytes at `base` through the HHDM.
    #[allow(dead_code)]
    pub fn is_hhdm_range_mapped_now(base: u64, size: u64) -> bool {
        size == 0 || base.checked_add(size).is_some_and(|end| end <= HHDM_END.load(Relaxed))
    }
}
