//! Sets memory up at boot.

use super::{boot_alloc, buddy, layout, slot_table};
use crate::{memory_map, witness};
use shim_parts::command_line::Stage;

/// Sets memory up as far as `stage`.
pub fn init(stage: Stage) {
    boot_alloc::init(memory_map::published().free_frames());
    memory_map::set_current(layout::current);
    if stage >= Stage::Array {
        slot_table::init(layout::end_of_memory());
    }
    if stage >= Stage::Full {
        let frames = boot_alloc::lock().hand_over();
        crate::log!("memory: {} slots, {} frames for the buddy", slot_table::frames(), frames.len());
        buddy::init(frames);
        witness::announce_buddy(buddy::state_address());
    }
}
