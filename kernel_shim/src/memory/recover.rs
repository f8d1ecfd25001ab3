//! Makes the allocators usable again after a panic abandoned a command inside of one.

use super::{boot_alloc, buddy_locks};

/// Frees the locks that `cpu` holds. Other CPUs may be inside of the allocators.
///
/// # Safety
/// The code that panicked on `cpu` must never run again.
///
/// A change that it was making stays half done. The buddy checks the links that it will follow before it changes any, so its
/// panics leave sound lists with the frames that were on them. A frame that was in use while it lay in a cache, or that the subject
/// panicked about while it left one, is in no cache any more. The boot allocator panics before it changes anything.
pub unsafe fn after_panic_of(cpu: usize) {
    // SAFETY: the caller promises that the code on `cpu`, which alone can have taken the lock there, never runs again.
    unsafe { boot_alloc::LOCK.unlock_after_panic_of(cpu) };
    // SAFETY: the caller promises the same of the code that took a lock of the buddy.
    unsafe { buddy_locks::after_panic_of(cpu) };
}
