//! The frames of a memory map that may be used. The map may say anything: regions overlap, repeat, touch inside of frames.

use crate::frame_ranges::FrameRanges;
use crate::PAGE_SIZE;

/// Whole frames of `free` memory that nothing `forbidden` touches, but never frame 0. Both are base and size in bytes.
///
/// # Panics
/// When they are too many pieces.
pub fn usable_frames<I: Iterator<Item = (u64, u64)>>(
    free: impl Fn() -> I,
    forbidden: impl Iterator<Item = (u64, u64)>,
) -> FrameRanges {
    // A region that goes on beyond the last address cannot be.
    let spans = || free().filter_map(|(base, size)| Some(base..base.checked_add(size)?));
    let mut frames = FrameRanges::new();
    let mut done = 0;
    while let Some(first) = spans().filter(|span| span.end > done).map(|span| span.start.max(done)).min() {
        let mut end = first;
        // Regions may meet in the middle of a frame.
        while let Some(further) =
            spans().filter(|span| span.start <= end).map(|span| span.end).filter(|&to| to > end).max()
        {
            end = further;
        }
        frames.push(first.div_ceil(PAGE_SIZE).max(1)..end / PAGE_SIZE);
        done = end;
    }
    for (base, size) in forbidden.filter(|&(_, size)| size > 0) {
        frames.remove(&(base / PAGE_SIZE..base.saturating_add(size).div_ceil(PAGE_SIZE)));
    }
    frames
}
