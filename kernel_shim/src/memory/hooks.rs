//! The record of the hooks that were called: which, in which order, with interrupts on or off.
//!
//! A hook must not lock or allocate, so the record is an array of atomic words.

use crate::arch::{cpu, interrupts};
use crate::cpus::record::{count as count_up, SMP};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use shim_parts::stops::{Record, Stop};
use x86_64::PhysAddr;

/// Enough for the release of a block of the largest order, whose every frame has a hook.
const CAPACITY: usize = 4096;

static RECORDS: [AtomicU64; CAPACITY] = [const { AtomicU64::new(0) }; CAPACITY];
/// Relaxed throughout: an index only has to be different from every other one, and who reads or clears waits until the CPUs that
/// release are done, which `rounds` orders.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Records a stop. Beyond the capacity it is only counted.
pub fn record(stop: Stop, paddr: PhysAddr) {
    let counters = &SMP.cpus[cpu::index()].counters;
    match stop {
        Stop::OnLastRef => count_up(&counters.on_last_ref),
        Stop::OnUnmap => count_up(&counters.on_unmap),
        Stop::Buddy => {}
    }
    let record = Record { stop, paddr: paddr.as_u64(), interrupts_enabled: interrupts::are_enabled() };
    let index = COUNT.fetch_add(1, Ordering::Relaxed);
    if let Some(word) = RECORDS.get(index) {
        // Release: pairs with the load in `records`.
        word.store(record.pack(), Ordering::Release);
    }
}

/// The number of stops since the last clear, including those beyond the capacity.
pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// The recorded stops, in order.
pub fn records() -> impl Iterator<Item = Record> {
    // Acquire: pairs with the store in `record`.
    RECORDS.iter().take(count()).map(|word| Record::unpack(word.load(Ordering::Acquire)))
}

pub fn clear() {
    COUNT.store(0, Ordering::Relaxed);
}
