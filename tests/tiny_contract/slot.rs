//! The module under test: who holds each of some slots, how often each was taken.

use crate::memory::SLOTS;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub const NOBODY: u64 = 0;
pub const KERNEL: u64 = 1;

#[repr(C)]
pub struct TinySlot {
    owner: AtomicU64,
    turns: AtomicU32,
    reserved: [u8; 20],
}

pub static TABLE: [TinySlot; SLOTS] = [const { TinySlot::new() }; SLOTS];

impl TinySlot {
    const fn new() -> Self {
        Self { owner: AtomicU64::new(NOBODY), turns: AtomicU32::new(0), reserved: [0; 20] }
    }

    /// Gives a slot that nobody holds to `owner`. The error is who holds it.
    pub fn take(&self, owner: u64) -> Result<(), u64> {
        self.owner.compare_exchange(NOBODY, owner, Ordering::AcqRel, Ordering::Acquire)?;
        self.turns.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes the slot from its owner, who is returned.
    ///
    /// # Panics
    /// When nobody holds it.
    pub fn put(&self) -> u64 {
        let owner = self.owner.swap(NOBODY, Ordering::AcqRel);
        assert!(owner != NOBODY, "put: nobody holds this slot");
        owner
    }

    /// How often the slot was taken.
    pub fn turns(&self) -> u32 {
        self.turns.load(Ordering::Relaxed)
    }
}

/// The kernel holds slot 0.
pub fn init() {
    TABLE[0].take(KERNEL).expect("slot 0 is free at start");
}
