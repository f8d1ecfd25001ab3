//! A lock that knows which CPU holds it, so that it can be freed when a panic of that CPU abandoned the holder.

use crate::arch::cpu::{self, NOBODY};
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use spin::{Mutex, MutexGuard};

pub struct CpuLock<T> {
    value: Mutex<T>,
    holder: AtomicUsize,
}

/// The lock, held.
pub struct Held<'a, T> {
    guard: MutexGuard<'a, T>,
    holder: &'a AtomicUsize,
}

impl<T> CpuLock<T> {
    pub const fn new(value: T) -> Self {
        Self { value: Mutex::new(value), holder: AtomicUsize::new(NOBODY) }
    }

    /// Waits for the lock. Panics where the CPU waits for a lock that it holds, since it would wait for ever.
    #[track_caller]
    pub fn lock(&self) -> Held<'_, T> {
        // Relaxed: a CPU only asks whether it is the holder itself.
        let me = cpu::index();
        assert!(self.holder.load(Relaxed) != me, "deadlock: the CPU waits for a lock that it holds");
        let guard = self.value.lock();
        self.holder.store(me, Relaxed);
        Held { guard, holder: &self.holder }
    }

    /// Frees the lock if `cpu` holds it. A lock that another CPU holds stays held.
    ///
    /// # Safety
    /// * If `cpu`, which is this CPU, holds the lock, the code that took it never runs again.
    /// * Whoever takes the lock next expects the value as that code left it.
    pub unsafe fn unlock_after_panic_of(&self, cpu: usize) {
        if self.holder.load(Relaxed) == cpu {
            self.holder.store(NOBODY, Relaxed);
            // SAFETY: `cpu`, which is this CPU, holds the lock. The caller promises that the code with the guard never runs
            // again, so the guard is neither used nor dropped.
            unsafe { self.value.force_unlock() }
        }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.holder.store(NOBODY, Relaxed);
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}
