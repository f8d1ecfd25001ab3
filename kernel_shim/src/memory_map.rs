//! The memory map of this start. Once published, it never changes.

use crate::arch::paging;
use crate::boot::start_info::StartInfo;
use crate::cmdline;
use shim_parts::memory_map::{Map, Region};
use spin::Once;

static MAP: Once<Map> = Once::new();
static CURRENT: Once<fn() -> Map> = Once::new();

/// Reads the loader's table, and applies the command line and the kernel image. Panics when no RAM is left.
pub fn read(start_info: &StartInfo) -> Map {
    let mut map = Map::from_entries(|| start_info.memory_map());
    map.restrict(cmdline::get("ramtop"), cmdline::get("reserve"));
    map.place_kernel(&paging::kernel_image(), start_info.memory_map().count());
    map
}

/// Keeps the map.
pub fn publish(map: Map) {
    MAP.call_once(|| map);
}

/// The published map. Panics before [`publish`].
pub fn published() -> &'static Map {
    MAP.get().expect("memory map: expected to be published")
}

/// Lets an allocator say which of the published map's memory it took. Until then, nobody took any.
pub fn set_current(current: fn() -> Map) {
    CURRENT.call_once(|| current);
}

/// The published map with the memory that was taken since.
pub fn current() -> Map {
    CURRENT.get().map_or_else(|| published().clone(), |current| current())
}

/// The regions of the published map.
pub fn regions() -> &'static [Region] {
    published().regions()
}
