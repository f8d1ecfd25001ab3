//! Vtables whose hooks write down that they were called, in which order, with interrupts on or off.
//!
//! A hook must not lock or allocate, so the record is an array of atomic words.

use super::subject::FrameMetaVtable;
use crate::arch::interrupts;
use crate::smp;
use core::ptr;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use x86_64::PhysAddr;

/// Enough for the release of a block of the largest order, whose every frame has a hook.
const CAPACITY: usize = 4096;

static RECORDS: [AtomicU64; CAPACITY] = [const { AtomicU64::new(0) }; CAPACITY];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Where a released block has come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    OnUnmap,
    OnLastRef,
    /// The block reached the buddy.
    Buddy,
}

impl Stop {
    const ALL: [Self; 3] = [Self::OnUnmap, Self::OnLastRef, Self::Buddy];

    pub const fn name(self) -> &'static str {
        match self {
            Self::OnUnmap => "on_unmap",
            Self::OnLastRef => "on_last_ref",
            Self::Buddy => "buddy",
        }
    }
}

/// One line of the record.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub stop: Stop,
    pub paddr: u64,
    pub interrupts_enabled: bool,
}

impl Record {
    /// A physical address has 52 bits; what else there is to say fits above them.
    fn pack(self) -> u64 {
        self.paddr | (self.stop as u64) << 62 | (self.interrupts_enabled as u64) << 61
    }

    fn unpack(word: u64) -> Self {
        Self {
            stop: Stop::ALL[(word >> 62) as usize],
            paddr: word & ((1 << 52) - 1),
            interrupts_enabled: word >> 61 & 1 == 1,
        }
    }
}

/// Writes a stop down; beyond the capacity it is only counted.
pub fn record(stop: Stop, paddr: PhysAddr) {
    smp::note_hook(stop);
    let record = Record { stop, paddr: paddr.as_u64(), interrupts_enabled: interrupts::are_enabled() };
    // Relaxed: an index of one's own is all that is asked of it.
    let index = COUNT.fetch_add(1, Ordering::Relaxed);
    if let Some(word) = RECORDS.get(index) {
        // Release: pairs with the load in `records`.
        word.store(record.pack(), Ordering::Release);
    }
}

/// How many stops there were since the last clear, also those beyond the capacity.
pub fn count() -> usize {
    // Acquire: pairs with nothing in particular; a reader waits until the CPUs that release are done.
    COUNT.load(Ordering::Acquire)
}

/// What was written down, in order.
pub fn records() -> impl Iterator<Item = Record> {
    // Acquire: pairs with the store in `record`.
    RECORDS.iter().take(count()).map(|word| Record::unpack(word.load(Ordering::Acquire)))
}

pub fn clear() {
    // Release: pairs with the load in `count`.
    COUNT.store(0, Ordering::Release);
}

fn on_unmap(paddr: PhysAddr) {
    record(Stop::OnUnmap, paddr);
}

fn on_last_ref(paddr: PhysAddr) {
    record(Stop::OnLastRef, paddr);
}

const fn vtable(on_last_ref: Option<fn(PhysAddr)>, on_unmap: Option<fn(PhysAddr)>) -> FrameMetaVtable {
    FrameMetaVtable { on_last_ref, on_unmap, reserved: [0; 6] }
}

static BOTH: FrameMetaVtable = vtable(Some(on_last_ref), Some(on_unmap));
static UNMAP: FrameMetaVtable = vtable(None, Some(on_unmap));
static LAST_REF: FrameMetaVtable = vtable(Some(on_last_ref), None);
static EMPTY: FrameMetaVtable = vtable(None, None);

/// A vtable at 8 mod 16: the linker places the others at multiples of 16 when it likes to, and then nobody
/// sees a subject that refuses what is merely aligned to 8.
#[repr(C, align(16))]
struct Shifted {
    _before: u64,
    vtable: FrameMetaVtable,
}

static SHIFTED: Shifted = Shifted { _before: 0, vtable: vtable(Some(on_last_ref), Some(on_unmap)) };

const VTABLES: [(&str, &FrameMetaVtable); 5] = [
    ("both", &BOTH),
    ("unmap", &UNMAP),
    ("lastref", &LAST_REF),
    ("empty", &EMPTY),
    ("shifted", &SHIFTED.vtable),
];

fn address_of(vtable: &'static FrameMetaVtable) -> u64 {
    ptr::from_ref(vtable).expose_provenance() as u64
}

/// The address to register for the vtable of that name.
pub fn vtable_address(name: &str) -> Option<u64> {
    let (_, vtable) = VTABLES.into_iter().find(|&(known, _)| known == name)?;
    Some(address_of(vtable))
}

/// Whether following these vtable bits is defined: none registered, one of ours, or an address that is
/// misaligned and so must not be followed at all.
pub fn may_be_followed(bits: u64) -> bool {
    let aligned = bits % align_of::<FrameMetaVtable>() as u64 == 0;
    bits == 0 || !aligned || VTABLES.into_iter().any(|(_, vtable)| address_of(vtable) == bits)
}
