//! The buddy allocator: blocks of `2^order` frames, by zone, then by migratetype.
//!
//! It promises what a frame module relies on, and no more, or it would hide what the module lacks:
//! * Free frames are linked through their slots; their payload is never touched.
//! * Every free stamps the sentinel `REFCOUNT_UNUSED`; handing out leaves it for the claim.
//! * Poison is looked at when a block is freed (it is quarantined), not when one is handed out.
//! * Single frames go through a cache for each CPU, which takes a frame as often as it is freed.
//! * A free of what is on a list already is refused, which is more than the real buddy does: it would tear the lists
//!   that everything is judged by, whatever the module does about it.
//! * A request for a single frame gets what a test has put in its way, see [`faults`].

#[path = "buddy/block.rs"]
pub mod block;
#[path = "buddy/cache.rs"]
mod cache;
#[path = "buddy/faults.rs"]
pub mod faults;
#[path = "buddy/lists.rs"]
pub mod lists;
#[path = "buddy/log.rs"]
pub mod log;
#[path = "buddy/populate.rs"]
mod populate;
#[path = "buddy/stamp.rs"]
mod stamp;
#[path = "buddy/state.rs"]
pub mod state;

use super::frame_ranges::FrameRanges;
use super::hooks;
use super::subject::{block_phys_has_poison_guard, AllocError, FrameAllocator, PhysFrame, PAGE_SIZE};
use super::zone::{Migratetype, MAX_ORDER};
use crate::sync::{with_irqs_disabled, IrqDisabledToken};
use crate::{arch, red};
use block::Block;
use core::ops::{Deref, DerefMut};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use faults::Faults;
use log::{Event, EventLog, Operation};
use spin::{Mutex, MutexGuard};
use state::BuddyState;
use x86_64::PhysAddr;

static BUDDY: Mutex<Buddy> = Mutex::new(Buddy::new());

/// Everything under the one lock.
pub struct Buddy {
    pub state: BuddyState,
    pub faults: Faults,
    pub log: EventLog,
    given: FrameRanges,
}

/// A block of `2^order` frames for that purpose.
pub fn alloc_migratetype(
    token: &IrqDisabledToken,
    order: u8,
    migratetype: Migratetype,
) -> Result<PhysFrame, AllocError> {
    if order as usize > MAX_ORDER {
        return Err(AllocError::InvalidOrder);
    }
    let pfn = lock(token).alloc(order, migratetype).ok_or(AllocError::OutOfMemory)?;
    Ok(PhysFrame { start_address: PhysAddr::new(pfn * PAGE_SIZE) })
}

/// As frame modules asked for it before there were migratetypes.
#[allow(dead_code)]
pub fn alloc(token: &IrqDisabledToken, order: u8) -> Result<PhysFrame, AllocError> {
    alloc_migratetype(token, order, Migratetype::Unmovable)
}

/// Takes a block back.
///
/// # Panics
/// When it is none that the buddy can have handed out, and when part of it is on a free list.
pub fn free(token: &IrqDisabledToken, frame: PhysFrame, order: u8) {
    hooks::record(hooks::Stop::Buddy, frame.start_address);
    lock(token).free(frame.start_address.as_u64(), order);
}

/// Runs `f` on the state, with interrupts disabled and the lock held.
pub fn with<R>(f: impl FnOnce(&mut Buddy) -> R) -> R {
    with_irqs_disabled(|token| f(&mut lock(token)))
}

/// The CPU that holds the lock, so that its panic frees the lock, and only its.
static HOLDER: AtomicUsize = AtomicUsize::new(NOBODY);
const NOBODY: usize = usize::MAX;

/// The lock, held.
struct Held(MutexGuard<'static, Buddy>);

/// The token keeps an interrupt of this CPU from waiting for the lock that it holds itself.
fn lock(_token: &IrqDisabledToken) -> Held {
    if red::unlocks_buddy() {
        // SAFETY: none; two CPUs then change the lists at the same time, which is what this red kernel does wrong.
        unsafe { BUDDY.force_unlock() }
    }
    let held = Held(BUDDY.lock());
    // Relaxed: only this CPU asks whether it is the holder.
    HOLDER.store(arch::cpu_index(), Relaxed);
    held
}

impl Drop for Held {
    fn drop(&mut self) {
        HOLDER.store(NOBODY, Relaxed);
    }
}

impl Deref for Held {
    type Target = Buddy;

    fn deref(&self) -> &Buddy {
        &self.0
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Buddy {
        &mut self.0
    }
}

/// Starts to manage `frames`.
pub fn init(frames: FrameRanges) {
    with(|buddy| buddy.populate(frames));
}

/// The address at which the host finds the state, to read it from outside.
pub fn state_address() -> u64 {
    with(|buddy| ptr::from_ref(&buddy.state).expose_provenance() as u64)
}

/// Frees the lock if a panic of `cpu` abandoned it; a lock that another CPU holds stays its.
///
/// # Safety
/// What panicked on `cpu` must never run again. What it was doing is left as it is; the buddy checks
/// the links that it will follow before it changes any, so its panics leave sound lists with the frames that were on
/// them. A frame that was in use while it lay in a cache has left the cache, and is in no account.
pub unsafe fn unlock_after_panic_of(cpu: usize) {
    if HOLDER.load(Relaxed) == cpu {
        HOLDER.store(NOBODY, Relaxed);
        // SAFETY: the caller says that the holder's guard is gone without having been dropped.
        unsafe { BUDDY.force_unlock() }
    }
}

impl Buddy {
    const fn new() -> Self {
        Self {
            state: BuddyState::new(),
            faults: Faults::new(),
            log: EventLog::new(),
            given: FrameRanges::new(),
        }
    }

    pub fn is_populated(&self) -> bool {
        !self.given.is_empty()
    }

    /// The block, if it is one that the buddy can have handed out.
    pub fn block(&self, paddr: u64, order: u8) -> Option<Block> {
        Block::starting_at(paddr, order).filter(|block| self.given.contains(block.pfns()))
    }

    fn alloc(&mut self, order: u8, migratetype: Migratetype) -> Option<u64> {
        if self.faults.take_refusal() {
            return None;
        }
        let (block, cached) = match self.faults.take_next_frame(order) {
            Some(pfn) => (self.offer(pfn), false),
            None => self.serve_or_drain(order, migratetype)?,
        };
        let paddr = block.paddr();
        self.log.record(Event { operation: Operation::Alloc, order, migratetype, paddr, cached });
        Some(block.first_pfn)
    }

    /// Hands out the frame that a test asked for, its slot untouched. Only a free one is accounted for:
    /// one that is in use already is merely offered a second time.
    fn offer(&mut self, pfn: u64) -> Block {
        let listed = self.state.zone_of(pfn).take_frame(pfn).is_some();
        if listed || self.state.take_from_any_cache(pfn) {
            self.state.zone_of(pfn).allocated += 1;
        }
        Block::frame(pfn)
    }

    /// What the caches hold may be the missing half of a block, or all that is left.
    fn serve_or_drain(&mut self, order: u8, migratetype: Migratetype) -> Option<(Block, bool)> {
        if let Some(served) = self.serve(order, migratetype) {
            return Some(served);
        }
        if self.state.drain() == 0 {
            return None;
        }
        self.serve(order, migratetype)
    }

    /// The block, and whether it lay in the CPU's cache before.
    fn serve(&mut self, order: u8, migratetype: Migratetype) -> Option<(Block, bool)> {
        let (block, hit) = if order == 0 {
            let cached = self.state.take_cached(arch::cpu_index(), migratetype)?;
            (Block::frame(cached.paddr / PAGE_SIZE), cached.hit)
        } else {
            (self.state.take_block(order, migratetype)?, false)
        };
        stamp::allocated(block);
        self.state.zone_of(block.first_pfn).allocated += block.len();
        Some((block, hit))
    }

    fn free(&mut self, paddr: u64, order: u8) {
        let Some(block) = self.block(paddr, order) else {
            panic!("buddy: free of {paddr:#x} at order {order}: not a block that can have been handed out")
        };
        let (cpu, poisoned) = (arch::cpu_index(), block_phys_has_poison_guard(paddr, order));
        if order == 0 && !poisoned {
            // Before the look at the lists: making room puts this very frame on one when it is freed twice.
            self.state.make_room(cpu, block.first_pfn);
        }
        self.refuse_listed(block);
        if poisoned {
            return self.quarantine(block);
        }
        if order > 0 {
            self.state.zone_of(block.first_pfn).coalesced(block);
        }
        stamp::free(block, self.faults.take_stamp());
        self.state.zone_of(block.first_pfn).note_returned(block.len());
        if order == 0 {
            self.state.put_cached(cpu, block.first_pfn);
        } else {
            self.state.zone_of(block.first_pfn).insert(block);
        }
        self.record_return(Operation::Free, block);
    }

    /// A stamp would tear a listed block off its list. Of a larger block every frame must be in use; a
    /// single one may lie in a cache already, which is for the next claim to find out.
    fn refuse_listed(&mut self, block: Block) {
        let zone = self.state.zone_of(block.first_pfn);
        if let Some(listed) = zone.block_covering(block.first_pfn) {
            panic!("buddy: double free: {block} is on a free list already, in {listed}");
        }
        if block.order == 0 {
            return;
        }
        if let Some(pfn) = block.pfns().find(|&pfn| stamp::says_free(pfn)) {
            panic!("buddy: double free: frame {:#x} of {block} is free already", pfn * PAGE_SIZE);
        }
    }

    /// Keeps a block with a poisoned frame from ever being handed out again.
    fn quarantine(&mut self, block: Block) {
        stamp::quarantined(block);
        let zone = self.state.zone_of(block.first_pfn);
        zone.note_returned(block.len());
        zone.quarantined += block.len();
        self.record_return(Operation::Quarantine, block);
    }

    fn record_return(&mut self, operation: Operation, block: Block) {
        let cached = operation == Operation::Free && block.order == 0;
        let (order, migratetype, paddr) = (block.order, block.home(), block.paddr());
        self.log.record(Event { operation, order, migratetype, paddr, cached });
    }
}

/// The buddy behind the subject's own trait.
pub struct BuddyFrameAllocator;

impl FrameAllocator for BuddyFrameAllocator {
    fn alloc(&mut self, order: u8, token: &IrqDisabledToken) -> Result<PhysFrame, AllocError> {
        alloc_migratetype(token, order, Migratetype::Unmovable)
    }

    fn free(&mut self, frame: PhysFrame, order: u8, token: &IrqDisabledToken) {
        free(token, frame, order);
    }
}
