//! The slot table as the shim accesses it, without the subject's functions.
//!
//! A subject may say that its table is where it did not reserve memory for all slots: what is there then is for the host to judge.

use super::subject::{self as frame, MetaSlot};
use super::{boot_alloc, scan};
use crate::arch::paging::HHDM_BASE;
use crate::{memory_map, witness};
use core::ptr;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Release};
use shim_parts::memory_map::{Region, RegionKind};
use shim_parts::PAGE_SIZE;
use x86_64::PhysAddr;

/// Bytes of a slot, as the subject declares it.
pub const SLOT_BYTES: usize = size_of::<MetaSlot>();

/// Virtual address of slot 0. Acquire and Release on both: the base is stored last and loaded first.
static BASE: AtomicU64 = AtomicU64::new(0);
static FRAMES: AtomicU64 = AtomicU64::new(0);

/// Lets the subject build its table, and tells the host where the table is.
///
/// # Panics
/// When not all of it lies in one region of RAM: the kernel's image and its stacks lie in others.
pub fn init(total_ram: u64) {
    frame::init_metadata_array(total_ram, &mut boot_alloc::lock());
    let frames = total_ram.div_ceil(PAGE_SIZE);
    let base = match frames {
        0 => 0,
        _ => ptr::from_ref(frame::get_meta(PhysAddr::zero())).expose_provenance() as u64,
    };
    let bytes = frames * SLOT_BYTES as u64;
    let is_ram = |paddr: u64| {
        let holds = |region: &Region| region.base <= paddr && paddr + bytes <= region.end;
        memory_map::regions().iter().any(|region| region.kind == RegionKind::Ram && holds(region))
    };
    assert!(
        frames == 0 || base.checked_sub(HHDM_BASE).is_some_and(is_ram),
        "slot table: {frames} slots from {base:#x} on: expected in one region of RAM"
    );
    FRAMES.store(frames, Release);
    BASE.store(base, Release);
    witness::announce_slot_table(base.saturating_sub(HHDM_BASE), bytes, frames);
}

/// The number of frames that have a slot. 0 as long as there is no table.
pub fn frames() -> u64 {
    match BASE.load(Acquire) {
        0 => 0,
        _ => FRAMES.load(Acquire),
    }
}

/// The raw bytes of a slot, which may change while they are read.
///
/// # Panics
/// When there is no slot for `pfn`.
pub fn peek(pfn: u64) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    // SAFETY: `address` is that of a slot, which `init` found to lie in RAM, all of which is mapped. `bytes` is this function's own. It
    // lies on the stack, which is no RAM of the map's: no slot is there.
    unsafe { scan::copy(address(pfn), bytes.as_mut_ptr(), SLOT_BYTES) };
    bytes
}

/// The number of slots from `pfn` on, and before `end`, that have the same bytes as the first of them.
///
/// # Panics
/// When there is no slot for one of them.
pub fn run_length(pfn: u64, end: u64) -> u64 {
    const WORDS: usize = SLOT_BYTES / size_of::<u64>();
    let (first, _last) = (address(pfn), address(end - 1));
    let others = (end - pfn - 1) as usize;
    // SAFETY: both `pfn` and `end - 1` have a slot, so all of `others * WORDS + WORDS` words from the first on
    // are in the table, which `init` found to lie in RAM, all of which is mapped.
    let equal = unsafe { scan::words_equal_at_distance(first.cast(), WORDS, others * WORDS) };
    1 + (equal / WORDS) as u64
}

/// Shows the bytes of `count` slots from `pfn` on, in order, some at a time. The bytes may change while they are read.
///
/// # Panics
/// When there is no slot for one of them.
pub fn visit(pfn: u64, count: u64, mut show: impl FnMut(&[u8])) {
    const AT_ONCE: usize = 64;
    let mut buffer = [0; AT_ONCE * SLOT_BYTES];
    let end = pfn + count;
    let mut at = pfn;
    while at < end {
        let slots = AT_ONCE.min((end - at) as usize);
        let (first, _last) = (address(at), address(at + slots as u64 - 1));
        let bytes = &mut buffer[..slots * SLOT_BYTES];
        // SAFETY: the first and the last of these slots are in the table, which `init` found to lie in RAM, all of which is
        // mapped. The buffer is this function's own. It lies on the stack, which is no RAM of the map's: no slot is there.
        unsafe { scan::copy(first, bytes.as_mut_ptr(), bytes.len()) };
        show(bytes);
        at += slots as u64;
    }
}

/// Overwrites bytes of a slot.
///
/// # Panics
/// When they are not all inside the slot of a frame of the table.
pub fn poke(pfn: u64, offset: usize, bytes: &[u8]) {
    let slot = address(pfn);
    assert!(offset + bytes.len() <= SLOT_BYTES, "slot: {offset} + {}: expected to end inside", bytes.len());
    for (index, &byte) in bytes.iter().enumerate() {
        // SAFETY: `slot` is the address of a slot of the table, which `init` found to lie in RAM, all of which is mapped writable, and the
        // offset is inside of the slot. A byte is aligned anywhere. All fields are atomics of plain integers, so every byte is valid.
        unsafe { slot.wrapping_add(offset + index).write_volatile(byte) }
    }
}

fn address(pfn: u64) -> *mut u8 {
    let (base, frames) = (BASE.load(Acquire), FRAMES.load(Acquire));
    assert!(base != 0 && pfn < frames, "slot table: frame {pfn:#x}: expected below {frames:#x}");
    ptr::with_exposed_provenance_mut::<u8>(base as usize).wrapping_add(pfn as usize * SLOT_BYTES)
}
