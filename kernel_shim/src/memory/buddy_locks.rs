//! The state of the buddy behind its locks: one for the whole, and one for each CPU that has its caches to itself.
//!
//! The order of locks is: the CPUs' own ones, lowest first, then the buddy's.

use super::cpu_lock::{CpuLock, Held};
use super::subject_slots::SubjectSlots;
use crate::arch::cpu;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use shim_parts::buddy::lent_caches::LentCaches;
use shim_parts::zone::Migratetype;
use shim_parts::MAX_CPUS;

pub type Buddy = shim_parts::buddy::Buddy<SubjectSlots>;

static BUDDY: CpuLock<Buddy> = CpuLock::new(Buddy::new(SubjectSlots));

struct Own {
    caches: LentCaches,
    /// The CPU may borrow its caches.
    borrows: bool,
    /// They are in `caches`.
    lent: bool,
}

static OWN: [CpuLock<Own>; MAX_CPUS] =
    [const { CpuLock::new(Own { caches: LentCaches::new(), borrows: false, lent: false }) }; MAX_CPUS];

/// The number of CPUs that may borrow their caches. Relaxed throughout, because the buddy's lock orders what counts. A CPU borrows
/// under that lock, after it counted itself: whoever holds the lock later sees that. It takes itself off after the section in
/// which its caches went back: whoever holds the lock and sees 0 comes later than that section.
static BORROWERS: AtomicUsize = AtomicUsize::new(0);

/// Lets this CPU have its caches to itself.
pub fn borrow_caches() {
    let mut own = OWN[cpu::index()].lock();
    if !own.borrows {
        own.borrows = true;
        BORROWERS.fetch_add(1, Relaxed);
    }
}

/// Gives the caches of this CPU, whose number is `cpu`, back to the buddy.
pub fn return_caches(cpu: usize) {
    let borrows = OWN[cpu].lock().borrows;
    if borrows {
        drop(whole());
        // Nothing is lent meanwhile: only the CPU itself asks for its caches.
        OWN[cpu].lock().borrows = false;
        BORROWERS.fetch_sub(1, Relaxed);
    }
}

/// The whole buddy, with the caches of all CPUs. Called with interrupts off, except by `return_caches`: no interrupt handler allocates.
pub fn whole() -> Held<'static, Buddy> {
    if BORROWERS.load(Relaxed) == 0 {
        let buddy = BUDDY.lock();
        // Nothing is lent now, see `BORROWERS`, and nobody borrows without this lock.
        if BORROWERS.load(Relaxed) == 0 {
            return buddy;
        }
    }
    let mut all = OWN.each_ref().map(CpuLock::lock);
    let mut buddy = BUDDY.lock();
    let lent = all.iter_mut().enumerate().filter(|(_, own)| own.lent);
    buddy.state.take_back(lent.map(|(cpu, own)| {
        own.lent = false;
        (cpu, &mut own.caches)
    }));
    buddy
}

/// A frame out of the CPU's own cache. None: the whole buddy is needed.
pub fn alloc(order: u8, migratetype: Migratetype) -> Option<u64> {
    (order == 0).then(|| with_own(|caches| caches.alloc(&SubjectSlots, migratetype))).flatten()
}

/// Whether a frame went back into the CPU's own cache. False: the whole buddy is needed.
pub fn free(paddr: u64, order: u8) -> bool {
    order == 0 && with_own(|caches| caches.free(&SubjectSlots, paddr).then_some(())).is_some()
}

/// Calls `f` with the caches of this CPU, if it has them or may borrow them.
fn with_own<R>(f: impl FnOnce(&mut LentCaches) -> Option<R>) -> Option<R> {
    if BORROWERS.load(Relaxed) == 0 {
        return None;
    }
    let cpu = cpu::index();
    let mut own = OWN[cpu].lock();
    let Own { caches, borrows, lent } = &mut *own;
    if *borrows && !*lent {
        let mut buddy = BUDDY.lock();
        if buddy.may_lend() {
            buddy.state.lend(cpu, caches);
            *lent = true;
        }
    }
    if *lent {
        f(caches)
    } else {
        None
    }
}

/// Frees the locks that this CPU, whose number is `cpu`, holds, and gives its caches back.
///
/// # Safety
/// The code that panicked on `cpu` must never run again.
///
/// A change that it was making stays half done. The buddy checks the links that it will follow before it changes any, so its
/// panics leave sound lists with the frames that were on them. A frame that was in use while it lay in a cache, or that the
/// subject panicked about while it left one, is in no cache any more.
pub unsafe fn after_panic_of(cpu: usize) {
    // SAFETY: the caller promises that the code that took the lock on `cpu` never runs again. The buddy is safe code: no
    // content of it, such as that after a panic, leads to undefined behavior.
    unsafe { BUDDY.unlock_after_panic_of(cpu) };
    for own in &OWN {
        // SAFETY: the caller promises that the code that took the lock on `cpu` never runs again. Caches are safe code, too.
        unsafe { own.unlock_after_panic_of(cpu) };
    }
    return_caches(cpu);
}
