//! Who owns which block: by capabilities, and by pins that have no name.
//!
//! Blocks in the table are disjoint, so that a frame has one entry at most. A call that fails changes nothing.

use super::block::{BlockHandle, BuddyReserved, Exclusive, PhysBlock, Released};
use super::block_meta::get_block_meta;
use crate::capability::CapId;
use crate::sync::SpinLock;
use alloc::collections::BTreeMap;
use smallvec::{smallvec, SmallVec};
use x86_64::PhysAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BlockState {
    BuddyReserved = 0,
    Exclusive = 1,
    Shared = 2,
    Free = 3,
}

/// What the table knows of a block.
#[derive(Clone, Debug)]
pub struct OwnerEntry {
    pub state: BlockState,
    /// Capabilities and pins.
    pub refcount: u32,
    pub caps: SmallVec<[CapId; 4]>,
    pub transient_refs: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerError {
    NotFound,
    /// A frame of the block is in the table already.
    DoubleClaim,
    CapAlreadyPresent,
    CapNotFound,
    StillReferenced,
    CountOverflow,
}

/// What is left of a block behind a reference that was removed.
pub enum RemoveRefResult {
    Freed(PhysBlock<Released>),
    NowExclusive { remaining_cap: CapId },
    StillPinned { transient_refs: u32 },
    StillShared { refcount: u32 },
}

impl OwnerEntry {
    fn of(cap: CapId) -> Self {
        Self { state: BlockState::Exclusive, refcount: 1, caps: smallvec![cap], transient_refs: 0 }
    }

    fn place_of(&self, cap: CapId) -> Result<usize, OwnerError> {
        self.caps.iter().position(|&other| other == cap).ok_or(OwnerError::CapNotFound)
    }

    fn admit(&mut self, cap: CapId) -> Result<(), OwnerError> {
        if self.place_of(cap).is_ok() {
            return Err(OwnerError::CapAlreadyPresent);
        }
        self.refcount = self.refcount.checked_add(1).ok_or(OwnerError::CountOverflow)?;
        self.caps.push(cap);
        Ok(())
    }

    fn dismiss(&mut self, cap: CapId) -> Result<(), OwnerError> {
        self.caps.remove(self.place_of(cap)?);
        self.refcount -= 1;
        Ok(())
    }

    fn left(&self, handle: BlockHandle) -> RemoveRefResult {
        match (self.refcount, self.caps.first()) {
            (0, _) => RemoveRefResult::Freed(PhysBlock::from_handle(handle)),
            (1, Some(&remaining_cap)) => RemoveRefResult::NowExclusive { remaining_cap },
            (1, None) => RemoveRefResult::StillPinned { transient_refs: self.transient_refs },
            (refcount, _) => RemoveRefResult::StillShared { refcount },
        }
    }
}

/// By the address of its first frame each block with its order.
type Blocks = BTreeMap<u64, (u8, OwnerEntry)>;

pub struct OwnershipTable {
    blocks: SpinLock<Blocks>,
}

fn handle_of(base: u64, order: u8) -> BlockHandle {
    BlockHandle::new(PhysAddr::new(base), order)
}

/// The last block that begins before `end`, where it reaches beyond `paddr`.
fn reaching(blocks: &Blocks, paddr: u64, end: u64) -> Option<BlockHandle> {
    let (&base, &(order, _)) = blocks.range(..end).next_back()?;
    let handle = handle_of(base, order);
    (paddr < base + handle.size_bytes()).then_some(handle)
}

fn insert(blocks: &mut Blocks, handle: BlockHandle, cap: CapId) -> Result<(), OwnerError> {
    let base = handle.base.as_u64();
    if !handle.is_valid() {
        return Err(OwnerError::NotFound);
    }
    if reaching(blocks, base, base + handle.size_bytes()).is_some() {
        return Err(OwnerError::DoubleClaim);
    }
    blocks.insert(base, (handle.order, OwnerEntry::of(cap)));
    tell_slot(handle, 1);
    Ok(())
}

/// The slot of the first frame says what the table says.
fn tell_slot(handle: BlockHandle, refcount: u32) {
    let slot = get_block_meta(handle.base);
    slot.set_order(handle.order);
    slot.set_refcount(refcount);
}

fn state_of(entry: &OwnerEntry) -> BlockState {
    if entry.refcount > 1 {
        BlockState::Shared
    } else {
        BlockState::Exclusive
    }
}

impl OwnershipTable {
    pub fn new() -> Self {
        Self { blocks: SpinLock::new(BTreeMap::new()) }
    }

    /// Changes an entry. One without references leaves the table.
    fn change<T>(
        &self,
        handle: BlockHandle,
        change: impl FnOnce(&mut OwnerEntry) -> Result<T, OwnerError>,
    ) -> Result<(T, OwnerEntry), OwnerError> {
        let mut blocks = self.blocks.lock();
        let (entry, base) = (entry_in(&mut blocks, handle).ok_or(OwnerError::NotFound)?, handle.base.as_u64());
        let answer = change(entry)?;
        entry.state = state_of(entry);
        let entry = entry.clone();
        if entry.refcount == 0 {
            blocks.remove(&base);
        }
        tell_slot(handle, entry.refcount);
        Ok((answer, entry))
    }

    pub fn claim(&self, block: PhysBlock<BuddyReserved>, cap: CapId) -> Result<PhysBlock<Exclusive>, OwnerError> {
        insert(&mut self.blocks.lock(), block.handle(), cap)?;
        Ok(PhysBlock::from_handle(block.handle()))
    }

    /// Adds a capability; claims the block where nobody owns it.
    pub fn ensure_ref(&self, handle: BlockHandle, cap: CapId) -> Result<BlockState, OwnerError> {
        let mut blocks = self.blocks.lock();
        if entry_in(&mut blocks, handle).is_none() {
            insert(&mut blocks, handle, cap)?;
            return Ok(BlockState::Exclusive);
        }
        drop(blocks);
        self.add_ref(handle, cap)
    }

    pub fn add_ref(&self, handle: BlockHandle, cap: CapId) -> Result<BlockState, OwnerError> {
        let (_, entry) = self.change(handle, |entry| entry.admit(cap))?;
        Ok(entry.state)
    }

    /// One more reference without a name; returns how many there are.
    pub fn pin(&self, handle: BlockHandle) -> Result<u32, OwnerError> {
        let (_, entry) = self.change(handle, |entry| {
            entry.refcount = entry.refcount.checked_add(1).ok_or(OwnerError::CountOverflow)?;
            entry.transient_refs += 1;
            Ok(())
        })?;
        Ok(entry.refcount)
    }

    pub fn remove_ref(&self, handle: BlockHandle, cap: CapId) -> Result<RemoveRefResult, OwnerError> {
        let (_, entry) = self.change(handle, |entry| entry.dismiss(cap))?;
        Ok(entry.left(handle))
    }

    pub fn unpin(&self, handle: BlockHandle) -> Result<RemoveRefResult, OwnerError> {
        let (_, entry) = self.change(handle, |entry| {
            entry.transient_refs = entry.transient_refs.checked_sub(1).ok_or(OwnerError::CapNotFound)?;
            entry.refcount -= 1;
            Ok(())
        })?;
        Ok(entry.left(handle))
    }

    /// Removes the only reference there is.
    pub fn release(&self, block: PhysBlock<Exclusive>, cap: CapId) -> Result<PhysBlock<Released>, OwnerError> {
        self.change(block.handle(), |entry| {
            entry.place_of(cap)?;
            if entry.refcount > 1 {
                return Err(OwnerError::StillReferenced);
            }
            entry.dismiss(cap)
        })?;
        Ok(PhysBlock::from_handle(block.handle()))
    }

    pub fn get(&self, handle: BlockHandle) -> Option<OwnerEntry> {
        entry_in(&mut self.blocks.lock(), handle).cloned()
    }

    pub fn refcount(&self, handle: BlockHandle) -> Option<u32> {
        entry_in(&mut self.blocks.lock(), handle).map(|entry| entry.refcount)
    }

    /// The owned block that begins at an address.
    pub fn handle_for_base(&self, base: PhysAddr) -> Option<BlockHandle> {
        let blocks = self.blocks.lock();
        let &(order, _) = blocks.get(&base.as_u64())?;
        Some(BlockHandle::new(base, order))
    }

    /// The owned block around an address.
    pub fn handle_containing(&self, paddr: PhysAddr) -> Option<BlockHandle> {
        let paddr = paddr.as_u64();
        reaching(&self.blocks.lock(), paddr, paddr + 1)
    }
}

fn entry_in(blocks: &mut Blocks, handle: BlockHandle) -> Option<&mut OwnerEntry> {
    let (order, entry) = blocks.get_mut(&handle.base.as_u64())?;
    (*order == handle.order).then_some(entry)
}
