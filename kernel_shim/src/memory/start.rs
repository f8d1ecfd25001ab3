//! Sets memory up at boot, and makes it usable again after a panic abandoned a command inside of an allocator.

use super::{boot_alloc, buddy, buddy_locks, slot_table};
use crate::{memory_map, witness};
use shim_parts::command_line::Stage;

/// Sets memory up as far as `stage`.
pub fn init(stage: Stage) {
    boot_alloc::init(memory_map::published().free_frames());
    memory_map::set_current(boot_alloc::current_map);
    if stage >= Stage::Array {
        slot_table::init(memory_map::published().end_of_ram());
    }
    if stage >= Stage::Full {
        let frames = boot_alloc::lock().frames.hand_over();
        crate::log!("memory: {} slots, {} frames for the buddy", slot_table::frames(), frames.len());
        buddy::init(frames);
        witness::announce_buddy(buddy::state_address());
    }
}

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
