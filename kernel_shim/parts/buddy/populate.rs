//! The first filling of the free lists, with the counters of each zone.

use super::block::Block;
use super::slots::Slots;
use super::stamp;
use super::state::ZoneState;
use super::Buddy;
use crate::frame_ranges::FrameRanges;
use crate::zone::Zone;

impl<S: Slots> Buddy<S> {
    /// Puts `frames` on the free lists as the largest possible blocks. It goes from the top down, so that the lowest block
    /// is handed out first.
    ///
    /// `memory` are all frames of memory, those that are taken included. `n_slots` is the number of slots.
    pub fn populate(&mut self, frames: FrameRanges, memory: &FrameRanges, n_slots: u64) {
        for zone in Zone::ALL {
            let state = &mut self.state.zones[zone as usize];
            let pfns = zone.pfns();
            (state.first_pfn, state.end_pfn) = (pfns.start.min(n_slots), pfns.end.min(n_slots));
            state.managed = frames_within(memory, state);
            state.reserved = state.managed - frames_within(&frames, state);
        }
        for range in frames.iter().rev() {
            let mut end = range.end;
            while end > range.start {
                let block = Block::largest_before(end, range.start);
                stamp::free_for_the_first_time(&self.slots, block);
                self.state.zone_of(block.first_pfn).push(&self.slots, block);
                end = block.first_pfn;
            }
        }
        self.given = frames;
    }
}

fn frames_within(ranges: &FrameRanges, zone: &ZoneState) -> u64 {
    ranges.iter().map(|range| range.end.min(zone.end_pfn).saturating_sub(range.start.max(zone.first_pfn))).sum()
}
