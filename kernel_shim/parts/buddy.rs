//! The buddy allocator: blocks of `2^order` frames, by zone, then by migratetype.
//!
//! It promises what a frame module relies on, and no more. Otherwise it would hide what the module lacks:
//! * Free frames are linked through their slots. Their payload is never touched.
//! * Every free stores the sentinel of an unused frame. Handing out leaves it for the claim.
//! * Poison is looked at when a block is freed (it is quarantined), not when one is handed out.
//! * Single frames go through a cache for each CPU, which takes a frame as often as it is freed. While several CPUs work,
//!   each has its own to itself, see [`lent_caches`].
//! * A free of a block that is on a list already is refused, which the real buddy does not do. Otherwise it would break
//!   the lists that all checks read, whatever the module does about it.
//! * A request for a single frame gets the frame that a test has put in its way, see [`faults`].
//!
//! A buddy that is judged itself, as part of a memory core, promises more: see [`Buddy::strict`].

pub mod block;
mod cache;
pub mod faults;
pub mod lent_caches;
pub mod lists;
pub mod log;
mod populate;
pub mod slots;
mod stamp;
pub mod state;

use crate::frame_ranges::FrameRanges;
use crate::zone::{Migratetype, Zone};
use crate::{paddr_to_pfn, pfn_to_paddr};
use block::Block;
use faults::Faults;
use log::{Event, EventLog, Operation};
use slots::{Slot as _, Slots};
use state::BuddyState;

/// The whole state of the allocator, over the slots `S`.
pub struct Buddy<S> {
    pub state: BuddyState,
    pub faults: Faults,
    pub log: EventLog,
    /// It refuses every free of what is not handed out at that order, frames in caches included, and hands out no poison.
    pub strict: bool,
    given: FrameRanges,
    slots: S,
}

impl<S: Slots> Buddy<S> {
    pub const fn new(slots: S) -> Self {
        Self {
            state: BuddyState::new(S::LINK_NONE),
            faults: Faults::new(),
            log: EventLog::new(),
            strict: false,
            given: FrameRanges::new(),
            slots,
        }
    }

    pub fn is_populated(&self) -> bool {
        !self.given.is_empty()
    }

    /// The block, if the buddy can have handed it out.
    pub fn block(&self, paddr: u64, order: u8) -> Option<Block> {
        Block::starting_at(paddr, order).filter(|block| self.given.contains(block.pfns()))
    }

    /// Puts the frames in the caches of all CPUs back on the lists, and returns their number.
    pub fn drain(&mut self) -> u64 {
        self.state.drain(&self.slots)
    }

    /// Whether single frames may be handed out and taken back without a look at the whole buddy.
    pub fn may_lend(&self) -> bool {
        !self.strict && !self.faults.are_armed()
    }

    /// Hands out a block. Returns the number of its first frame.
    pub fn alloc(&mut self, cpu: usize, order: u8, migratetype: Migratetype) -> Option<u64> {
        if self.faults.take_refusal() {
            return None;
        }
        let (block, cached) = match self.faults.take_next_frame(order) {
            Some(pfn) => (self.offer(pfn), false),
            None => self.serve_or_drain(|buddy| buddy.take(cpu, order, migratetype))?,
        };
        Some(self.record_given(block, migratetype, cached))
    }

    /// The same out of one zone, past the CPU's cache.
    pub fn alloc_in(&mut self, zone: Zone, order: u8, migratetype: Migratetype) -> Option<u64> {
        let (block, _) = self.serve_or_drain(|buddy| {
            Some((buddy.state.zones[zone as usize].take(&buddy.slots, order, migratetype)?, false))
        })?;
        Some(self.record_given(block, migratetype, false))
    }

    fn record_given(&mut self, block: Block, migratetype: Migratetype, cached: bool) -> u64 {
        let (order, paddr) = (block.order, block.paddr());
        self.log.record(Event { operation: Operation::Alloc, order, migratetype, paddr, cached });
        block.first_pfn
    }

    /// Hands out the frame that a test asked for, its slot untouched. Only a free frame changes the counters. A frame
    /// that is in use already is offered a second time.
    fn offer(&mut self, pfn: u64) -> Block {
        let listed = self.state.zone_of(pfn).take_frame(&self.slots, pfn).is_some();
        if listed || self.state.take_from_any_cache(pfn) {
            self.state.zone_of(pfn).allocated += 1;
        }
        Block::frame(pfn)
    }

    /// The frames in the caches may be the missing half of a block, or all that is left.
    fn serve_or_drain(&mut self, take: impl Fn(&mut Self) -> Option<(Block, bool)>) -> Option<(Block, bool)> {
        if let Some(served) = self.serve(&take) {
            return Some(served);
        }
        if self.drain() == 0 {
            return None;
        }
        self.serve(&take)
    }

    /// What `take` takes: a block, and whether it lay in the CPU's cache before.
    fn serve(&mut self, take: impl Fn(&mut Self) -> Option<(Block, bool)>) -> Option<(Block, bool)> {
        let (mut block, mut hit) = take(self)?;
        while self.strict && self.slots.is_poisoned(block) {
            self.quarantine(block);
            (block, hit) = take(self)?;
        }
        stamp::allocated(&self.slots, block);
        self.state.zone_of(block.first_pfn).allocated += block.n_frames();
        Some((block, hit))
    }

    /// A single frame from the CPU's cache, a larger block from the lists.
    fn take(&mut self, cpu: usize, order: u8, migratetype: Migratetype) -> Option<(Block, bool)> {
        if order > 0 {
            return Some((self.state.take_block(&self.slots, order, migratetype)?, false));
        }
        let cached = self.state.take_cached(&self.slots, cpu, migratetype)?;
        Some((Block::frame(paddr_to_pfn(cached.paddr)), cached.hit))
    }

    /// Takes a block back.
    ///
    /// # Panics
    /// When the buddy cannot have handed it out, and when part of it is on a free list.
    pub fn free(&mut self, cpu: usize, paddr: u64, order: u8) {
        let Some(block) = self.block(paddr, order) else {
            panic!("buddy: free of {paddr:#x} at order {order}: not a block that can have been handed out")
        };
        if self.strict {
            self.refuse_what_is_not_given(block);
        }
        let poisoned = self.slots.is_poisoned(block);
        if order == 0 && !poisoned {
            // Before the look at the lists: making room puts this very frame on one when it is freed twice.
            self.state.make_room(&self.slots, cpu, block.first_pfn);
        }
        self.refuse_listed(block);
        if poisoned {
            self.state.zone_of(block.first_pfn).note_returned(block.n_frames());
            return self.quarantine(block);
        }
        if order > 0 {
            self.state.zone_of(block.first_pfn).coalesced(&self.slots, block);
        }
        stamp::free(&self.slots, block, self.faults.take_stamp());
        self.state.zone_of(block.first_pfn).note_returned(block.n_frames());
        if order == 0 {
            self.state.put_cached(cpu, block.first_pfn);
        } else {
            self.state.zone_of(block.first_pfn).insert(&self.slots, block);
        }
        self.record_return(Operation::Free, block);
    }

    /// Refuses a block that is on a free list, because the stamp would break the list. Every frame of a larger block must
    /// be in use. A single frame may lie in a cache already, which the next claim finds out.
    fn refuse_listed(&mut self, block: Block) {
        let zone = self.state.zone_of(block.first_pfn);
        if let Some(listed) = zone.block_covering(&self.slots, block.first_pfn) {
            panic!("buddy: double free: {block} is on a free list already, in {listed}");
        }
        if block.order == 0 {
            return;
        }
        if let Some(pfn) = block.pfns().find(|&pfn| stamp::says_free(&self.slots, pfn)) {
            panic!("buddy: double free: frame {:#x} of {block} is free already", pfn_to_paddr(pfn));
        }
    }

    /// Refuses a block that is not handed out at this very order: each frame of one that is says so in its slot.
    fn refuse_what_is_not_given(&self, block: Block) {
        let is_given = |pfn| !stamp::says_free(&self.slots, pfn) && self.slots.slot(pfn).block_order() == block.order;
        if let Some(pfn) = block.pfns().find(|&pfn| !is_given(pfn)) {
            panic!("buddy: free of {block}: frame {:#x} is not of a block that was handed out", pfn_to_paddr(pfn));
        }
    }

    /// Keeps a block with a poisoned frame from ever being handed out again.
    fn quarantine(&mut self, block: Block) {
        stamp::quarantined(&self.slots, block);
        if self.strict {
            stamp::no_order(&self.slots, block);
        }
        self.state.zone_of(block.first_pfn).quarantined += block.n_frames();
        self.record_return(Operation::Quarantine, block);
    }

    fn record_return(&mut self, operation: Operation, block: Block) {
        let cached = operation == Operation::Free && block.order == 0;
        let (order, migratetype, paddr) = (block.order, block.home(), block.paddr());
        self.log.record(Event { operation, order, migratetype, paddr, cached });
    }
}
