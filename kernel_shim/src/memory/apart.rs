//! The state of the buddy behind its locks: one for the whole, and one for each CPU that has its caches to itself.
//!
//! The order of locks is: the CPUs' own ones, lowest first, then the buddy's.

use super::cpu_lock::{CpuLock, Held};
use super::subject_slots::SubjectSlots;
use crate::arch::cpu;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use shim_parts::buddy::apart::Apart;
use shim_parts::zone::Migratetype;
use shim_parts::MAX_CPUS;

pub type Buddy = shim_parts::buddy::Buddy<SubjectSlots>;

static BUDDY: CpuLock<Buddy> = CpuLock::new(Buddy::new(SubjectSlots));

struct Own {
    apart: Apart,
    /// The CPU works apart.
    begun: bool,
    /// Its caches are in `apart`.
    lent: bool,
}

static OWN: [CpuLock<Own>; MAX_CPUS] =
    [const { CpuLock::new(Own { apart: Apart::new(), begun: false, lent: false }) }; MAX_CPUS];

/// The number of CPUs that work apart. Relaxed throughout, because the buddy's lock orders what counts. A CPU borrows under that
/// lock, behind its own step up: whoever holds the lock later sees the step. It steps down behind the section in which its caches
/// went back: whoever holds the lock and sees 0 comes later than that section.
static WORKING: AtomicUsize = AtomicUsize::new(0);

/// Lets this CPU work apart.
pub fn begin() {
    let mut own = OWN[cpu::index()].lock();
    if !own.begun {
        own.begun = true;
        WORKING.fetch_add(1, Relaxed);
    }
}

/// Ends that for this CPU, whose number is `cpu`, if it has begun: its caches go back to the buddy.
pub fn end(cpu: usize) {
    let begun = OWN[cpu].lock().begun;
    if begun {
        drop(whole());
        // Nothing is lent meanwhile: only the CPU itself asks for its caches.
        OWN[cpu].lock().begun = false;
        WORKING.fetch_sub(1, Relaxed);
    }
}

/// The whole buddy, with the caches of all CPUs. Called with interrupts off, except by `end`: no interrupt handler allocates.
pub fn whole() -> Held<'static, Buddy> {
    if WORKING.load(Relaxed) == 0 {
        let buddy = BUDDY.lock();
        // Nothing is lent now, see `WORKING`, and nobody borrows without this lock.
        if WORKING.load(Relaxed) == 0 {
            return buddy;
        }
    }
    let mut all = OWN.each_ref().map(CpuLock::lock);
    let mut buddy = BUDDY.lock();
    let lent = all.iter_mut().enumerate().filter(|(_, own)| own.lent);
    buddy.state.take_back(lent.map(|(cpu, own)| {
        own.lent = false;
        (cpu, &mut own.apart)
    }));
    buddy
}

/// A frame out of the CPU's own cache. None: the whole buddy is needed.
pub fn alloc(order: u8, migratetype: Migratetype) -> Option<u64> {
    (order == 0).then(|| with_own(|apart| apart.alloc(&SubjectSlots, migratetype))).flatten()
}

/// Whether a frame went back into the CPU's own cache. False: the whole buddy is needed.
pub fn free(paddr: u64, order: u8) -> bool {
    order == 0 && with_own(|apart| apart.free(&SubjectSlots, paddr).then_some(())).is_some()
}

/// Calls `f` with the caches of this CPU, if it works apart and may have them.
fn with_own<R>(f: impl FnOnce(&mut Apart) -> Option<R>) -> Option<R> {
    if WORKING.load(Relaxed) == 0 {
        return None;
    }
    let cpu = cpu::index();
    let mut own = OWN[cpu].lock();
    let Own { apart, begun, lent } = &mut *own;
    if *begun && !*lent {
        let mut buddy = BUDDY.lock();
        if buddy.may_lend() {
            buddy.state.lend(cpu, apart);
            *lent = true;
        }
    }
    if *lent {
        f(apart)
    } else {
        None
    }
}

/// Frees the locks that this CPU, whose number is `cpu`, holds, and ends its work apart.
///
/// # Safety
/// As [`CpuLock::unlock_after_panic_of`].
pub unsafe fn after_panic_of(cpu: usize) {
    // SAFETY: the caller promises that the code on `cpu` that took the lock never runs again.
    unsafe { BUDDY.unlock_after_panic_of(cpu) };
    for own in &OWN {
        // SAFETY: the caller promises the same of the code that took one of these locks.
        unsafe { own.unlock_after_panic_of(cpu) };
    }
    end(cpu);
}
