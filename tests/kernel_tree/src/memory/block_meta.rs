//! From an address to its block.

use super::block::BlockHandle;
use super::frame::{self, MetaSlot, PAGE_SIZE};
use crate::memory::ownership_table;
use x86_64::PhysAddr;

pub fn get_block_meta(paddr: PhysAddr) -> &'static MetaSlot {
    frame::get_meta(paddr)
}

/// The owned block around an address; where nobody owns it, the block that its slot tells of.
pub fn resolve_handle(paddr: PhysAddr) -> BlockHandle {
    ownership_table().handle_containing(paddr).unwrap_or_else(|| {
        let order = get_block_meta(paddr).get_order();
        BlockHandle::new(paddr.align_down(PAGE_SIZE << order), order)
    })
}
