// The memory core of a kernel tree, with what it asks the rest of its kernel's `memory` for.
//
// `build.rs` includes this text in the module `memory`, beside the tree's files.

pub use crate::arch::paging::phys_to_virt;

/// The frame module by the name that the shim calls it.
pub mod subject {
    pub use super::frame::*;
}

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

#[cfg(feature = "ownership")]
mod owned {
    use super::block::{PhysBlock, Released};
    use super::frame::PhysFrame;
    use super::ownership::OwnershipTable;
    use crate::sync::with_irqs_disabled;
    use spin::Once;

    static OWNERS: Once<OwnershipTable> = Once::new();

    /// The one table of the kernel.
    pub fn ownership_table() -> &'static OwnershipTable {
        OWNERS.call_once(OwnershipTable::new)
    }

    /// Gives a block back to the allocator that nobody owns any more.
    pub fn release_owned_block(block: PhysBlock<Released>) {
        with_irqs_disabled(|token| {
            let unowned = block.into_handle();
            #[cfg(core_has = "vtables")]
            tell_owner(unowned);
            super::buddy::free(token, PhysFrame { start_address: unowned.base }, unowned.order);
        });
    }

    /// Calls what the owner registered: for the block, then for each of its frames.
    #[cfg(core_has = "vtables")]
    fn tell_owner(handle: super::block::BlockHandle) {
        use super::frame::{invoke_vtable_on_last_ref, invoke_vtable_on_unmap, PAGE_SIZE};
        invoke_vtable_on_last_ref(handle.base);
        for page in 0..1u64 << handle.order {
            invoke_vtable_on_unmap(handle.base + page * PAGE_SIZE);
        }
    }
}

// Under these paths a core asks its kernel for them.
#[cfg(feature = "ownership")]
#[allow(unused_imports)]
pub use self::{
    block::{BlockHandle, BuddyReserved, Exclusive, MappedExclusive, MappedShared, PhysBlock, Released},
    block_meta::{get_block_meta, resolve_handle},
    owned::{ownership_table, release_owned_block},
    ownership::{BlockState, OwnerEntry, OwnerError, OwnershipTable, RemoveRefResult},
};
