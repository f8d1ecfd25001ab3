//! Tells the host, in guest RAM, what the console tells it, too.

use crate::arch::paging;
use core::sync::atomic::{AtomicU64, Ordering::Release};

/// Ours: `FWITNESS` in bytes, which the host compares first.
const MAGIC: u64 = 0x5353_454e_5449_5746;

/// The host reads it through the ELF's symbols and debug information. Fields are only ever appended.
///
/// Release throughout: it pairs with no load in the guest. It keeps a reader in another thread of the host, where loads are
/// ordered, from seeing a table announced before it was filled.
#[repr(C)]
pub struct Witness {
    magic: u64,
    version: u64,
    hhdm_base: u64,
    /// The slot table. 0 when there is none.
    meta_paddr: AtomicU64,
    meta_bytes: AtomicU64,
    n_frames: AtomicU64,
    /// The address of the `BuddyState`. 0 as long as it manages nothing.
    buddy_vaddr: AtomicU64,
    kernel_first_paddr: AtomicU64,
    kernel_end_paddr: AtomicU64,
}

#[unsafe(no_mangle)]
static WITNESS: Witness = Witness {
    magic: MAGIC,
    version: 1,
    hhdm_base: paging::HHDM_BASE,
    meta_paddr: AtomicU64::new(0),
    meta_bytes: AtomicU64::new(0),
    n_frames: AtomicU64::new(0),
    buddy_vaddr: AtomicU64::new(0),
    kernel_first_paddr: AtomicU64::new(0),
    kernel_end_paddr: AtomicU64::new(0),
};

pub fn announce_kernel() {
    let image = paging::kernel_image();
    WITNESS.kernel_first_paddr.store(image.start, Release);
    WITNESS.kernel_end_paddr.store(image.end, Release);
}

pub fn announce_slot_table(paddr: u64, bytes: u64, n_frames: u64) {
    WITNESS.meta_bytes.store(bytes, Release);
    WITNESS.n_frames.store(n_frames, Release);
    WITNESS.meta_paddr.store(paddr, Release);
}

pub fn announce_buddy(vaddr: u64) {
    WITNESS.buddy_vaddr.store(vaddr, Release);
}
