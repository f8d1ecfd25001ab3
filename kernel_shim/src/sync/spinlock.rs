//! The lock of a kernel's memory core: with interrupts off, by test and set.

use super::irq::IrqDisabledToken;
use super::noise;
use crate::arch::{cpu, interrupts};
use crate::cpus::panics;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::panic::Location;
use core::sync::atomic::{AtomicU64, Ordering};

const FREE: u64 = 0;

/// The host knows that the value stands 8 bytes behind the start. It has no larger alignment.
#[repr(C)]
pub struct SpinLock<T: ?Sized> {
    /// One more than the number of the CPU that holds it.
    owner: AtomicU64,
    value: UnsafeCell<T>,
}

// SAFETY: only the holder of the lock reaches the value, there is one at a time, and `T` may go from one to the next.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}
// SAFETY: whoever owns the lock owns the value, and `T` may change its owner.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}

impl<T> SpinLock<T> {
    pub const fn new(value: T) -> Self {
        const { assert!(align_of::<T>() <= 8) };
        Self { owner: AtomicU64::new(FREE), value: UnsafeCell::new(value) }
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Waits for the lock. Panics where the CPU waits for a lock that it holds, since it would wait for ever.
    #[track_caller]
    pub fn lock(&self) -> SpinLockGuard<'_, T> {
        let were_enabled = interrupts::are_enabled();
        interrupts::disable();
        noise::wait();
        let me = cpu::index() as u64 + 1;
        // Acquire: pairs with the release in `drop`, so that what the holder before wrote is seen.
        while let Err(owner) = self.owner.compare_exchange_weak(FREE, me, Ordering::Acquire, Ordering::Relaxed) {
            if owner == me {
                panic!("deadlock: the CPU waits at {} for a lock that it holds", Location::caller());
            }
            // A CPU that panicked keeps its locks: the core cannot be asked anything further.
            assert!(!panics::ended_the_round(), "another CPU panicked while it held a lock");
            core::hint::spin_loop();
        }
        SpinLockGuard { lock: self, token: IrqDisabledToken(()), were_enabled, _on_this_cpu: PhantomData }
    }
}

/// The right to the value. Interrupts are off as long as it lives.
pub struct SpinLockGuard<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
    token: IrqDisabledToken,
    were_enabled: bool,
    /// It stays on its CPU, as the token does, and lends the value to none but its own: it is neither `Send` nor `Sync`.
    _on_this_cpu: PhantomData<(&'a mut T, *const ())>,
}

// A core uses what it needs of it.
#[allow(dead_code)]
impl<T: ?Sized> SpinLockGuard<'_, T> {
    pub fn token(&self) -> &IrqDisabledToken {
        &self.token
    }

    /// Calls `f` with the value and the proof that interrupts are off.
    pub fn with_mut_and_token<R>(&mut self, f: impl FnOnce(&mut T, &IrqDisabledToken) -> R) -> R {
        // SAFETY: the guard holds the lock and is borrowed mutably, so this is the only reference.
        f(unsafe { &mut *self.lock.value.get() }, &self.token)
    }
}

impl<T: ?Sized> Deref for SpinLockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock and is borrowed, so nobody has a mutable reference.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinLockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock and is borrowed mutably, so this is the only reference.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for SpinLockGuard<'_, T> {
    fn drop(&mut self) {
        // Release: pairs with the acquire in `lock`.
        self.lock.owner.store(FREE, Ordering::Release);
        if self.were_enabled {
            interrupts::enable();
        }
    }
}

/// A kernel traces one lock by its address. The shim does not.
pub fn debug_set_trace_buddy_addr(_address: usize) {}
