//! Makes the allocators usable again after a panic abandoned a command inside of one.

use super::{boot_alloc, buddy_locks};

/// Frees the locks that `cpu` holds. Other CPUs may be inside of the allocators.
///
/// # Safety
/// The code that panicked on `cpu` must never run again.
pub unsafe fn after_panic_of(cpu: usize) {
    // SAFETY: the caller promises that the code that took the lock on `cpu` never runs again. The boot allocator panics before
    // it changes anything.
    unsafe { boot_alloc::LOCK.unlock_after_panic_of(cpu) };
    // SAFETY: the caller promises that the code that panicked on `cpu` never runs again.
    unsafe { buddy_locks::after_panic_of(cpu) };
}
