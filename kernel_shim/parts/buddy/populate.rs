//! The first filling of the free lists, with the accounts that go with it.

use super::block::Block;
use super::stamp;
use super::state::ZoneState;
use super::Buddy;
use crate::memory::frame_ranges::FrameRanges;
use crate::memory::subject::PAGE_SIZE;
use crate::memory::zone::Zone;
use crate::memory_map;

impl Buddy {
    /// Puts `frames` on the free lists as the largest blocks there are. From the top down, so that the
    /// lowest block is handed out first.
    pub(super) fn populate(&mut self, frames: FrameRanges) {
        let memory = frames_of_memory();
        for zone in Zone::ALL {
            let state = &mut self.state.zones[zone as usize];
            (state.first_pfn, state.end_pfn) = extent(zone);
            state.managed = frames_within(&memory, state);
            state.reserved = state.managed - frames_within(&frames, state);
        }
        for range in frames.iter().rev() {
            let mut end = range.end;
            while end > range.start {
                let block = Block::largest_before(end, range.start);
                stamp::free_for_the_first_time(block);
                self.state.zone_of(block.first_pfn).push(block);
                end = block.first_pfn;
            }
        }
        self.given = frames;
    }
}

/// The part of a zone that has slots.
fn extent(zone: Zone) -> (u64, u64) {
    let (pfns, frames) = (zone.pfns(), memory_map::frame_count());
    (pfns.start.min(frames), pfns.end.min(frames))
}

/// The frames that hold memory of the map, what is taken included. A frame that is memory only in part is
/// one of them; it is among those that the buddy is never given.
fn frames_of_memory() -> FrameRanges {
    let mut frames = FrameRanges::new();
    let mut end_of_last = 0;
    for region in memory_map::regions().iter().filter(|region| region.kind.is_memory()) {
        // Neighbors may meet in the middle of a frame, which counts once.
        let (first, end) = (region.base / PAGE_SIZE, region.end.div_ceil(PAGE_SIZE));
        frames.push(first.max(end_of_last)..end);
        end_of_last = end;
    }
    frames
}

fn frames_within(ranges: &FrameRanges, zone: &ZoneState) -> u64 {
    ranges
        .iter()
        .map(|range| range.end.min(zone.end_pfn).saturating_sub(range.start.max(zone.first_pfn)))
        .sum()
}
