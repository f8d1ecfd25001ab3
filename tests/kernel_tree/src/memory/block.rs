//! Names for blocks of frames, and what type they have on their way from the allocator and back.

use super::frame::PAGE_SIZE;
use super::zone::MAX_ORDER;
use core::marker::PhantomData;
use x86_64::PhysAddr;

/// The block of `2^order` frames at `base`; whether there is one, and whose, the handle does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHandle {
    pub base: PhysAddr,
    pub order: u8,
}

impl BlockHandle {
    pub fn new(base: PhysAddr, order: u8) -> Self {
        BlockHandle { order, base }
    }

    /// 0 where it is more than an address can say.
    pub fn size_bytes(&self) -> u64 {
        self.page_count().checked_mul(PAGE_SIZE).unwrap_or(0)
    }

    /// 0 where it is more than a number of 64 bits can say.
    pub fn page_count(&self) -> u64 {
        1_u64.checked_shl(u32::from(self.order)).unwrap_or(0)
    }

    /// Whether the allocator could have such a block.
    pub fn is_valid(&self) -> bool {
        usize::from(self.order) <= MAX_ORDER && self.base.as_u64() % self.size_bytes() == 0
    }
}

/// Given by the allocator, and nobody's yet.
pub struct BuddyReserved;
/// One owner's.
pub struct Exclusive;
/// One owner's, and mapped.
pub struct MappedExclusive;
/// Several owners', and mapped.
pub struct MappedShared;
/// Nobody's any more.
pub struct Released;

/// A block in one of these states.
pub struct PhysBlock<State> {
    handle: BlockHandle,
    state: PhantomData<State>,
}

impl<State> PhysBlock<State> {
    /// Whoever calls it knows that the block is in that state.
    pub(crate) fn from_handle(handle: BlockHandle) -> Self {
        Self { handle, state: PhantomData }
    }

    pub fn handle(&self) -> BlockHandle {
        self.handle
    }
}

impl PhysBlock<Released> {
    pub(crate) fn into_handle(self) -> BlockHandle {
        self.handle
    }
}
