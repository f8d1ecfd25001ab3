//! The memory map as it stands once memory has been taken from it.

use super::boot_alloc;
use super::subject::PAGE_SIZE;
use crate::memory_map::{self, Map, Region, RegionKind};

/// The end of the highest range of memory; need not be a multiple of a frame.
pub fn end_of_memory() -> u64 {
    memory_map::published().end_of_ram()
}

/// The published map with what the boot allocator took. RAM that it can give to nobody is shown as taken at
/// boot: frame 0, and the part of a frame at an end where nothing else begins.
pub fn current() -> Map {
    let mut map = memory_map::published().clone();
    for region in memory_map::regions().iter().filter(|region| region.kind == RegionKind::Ram) {
        let whole_frames = region.base.next_multiple_of(PAGE_SIZE)..region.end / PAGE_SIZE * PAGE_SIZE;
        take(&mut map, region.base, region.end.min(PAGE_SIZE));
        if is_free_standing(region.base) {
            take(&mut map, region.base, whole_frames.start.min(region.end));
        }
        if is_free_standing(region.end) {
            take(&mut map, whole_frames.end.max(region.base), region.end);
        }
    }
    for pfns in boot_alloc::get().lock().taken().iter() {
        let (base, end) = (pfns.start * PAGE_SIZE, pfns.end * PAGE_SIZE);
        map.paint(Region { base, end, kind: RegionKind::Meta });
    }
    map
}

fn take(map: &mut Map, base: u64, end: u64) {
    map.paint(Region { base, end, kind: RegionKind::Boot });
}

/// Whether only one region of the published map touches `address`.
fn is_free_standing(address: u64) -> bool {
    memory_map::regions().iter().filter(|region| region.base == address || region.end == address).count() == 1
}
