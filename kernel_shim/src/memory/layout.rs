//! The memory map as it stands once memory has been taken from it.

use super::boot_alloc;
use crate::memory_map;
use shim_parts::memory_map::Map;

/// The end of the highest range of memory. It need not be a multiple of a frame.
pub fn end_of_memory() -> u64 {
    memory_map::published().end_of_ram()
}

/// The published map with the frames that the boot allocator handed out.
pub fn current() -> Map {
    memory_map::published().with_taken(boot_alloc::lock().taken())
}
