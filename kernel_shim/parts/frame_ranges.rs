//! A sorted list of ranges of frame numbers.

use core::ops::Range;

/// More than the regions of a memory map, with room for the parts that are cut out of them.
const CAPACITY: usize = 192;

#[derive(Clone)]
pub struct FrameRanges {
    ranges: [(u64, u64); CAPACITY],
    len: usize,
}

impl FrameRanges {
    pub const fn new() -> Self {
        Self { ranges: [(0, 0); CAPACITY], len: 0 }
    }

    /// In address order, disjoint, never touching, never empty.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.ranges[..self.len].iter().map(|&(start, end)| start..end)
    }

    /// The number of frames in all ranges.
    pub fn len(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether all of `pfns` lies in one of the ranges.
    pub fn contains(&self, pfns: Range<u64>) -> bool {
        self.iter().any(|range| range.start <= pfns.start && pfns.end <= range.end)
    }

    /// Appends frames. A range that touches the last one extends it.
    ///
    /// # Panics
    /// When the list is full, and when the frames are not behind all that are in the list.
    pub fn push(&mut self, pfns: Range<u64>) {
        if pfns.is_empty() {
            return;
        }
        if let Some(last) = self.ranges[..self.len].last_mut() {
            assert!(last.1 <= pfns.start, "frame ranges: {pfns:x?} after {last:x?}: expected ascending order");
            if last.1 == pfns.start {
                last.1 = pfns.end;
                return;
            }
        }
        assert!(self.len < CAPACITY, "frame ranges: expected at most {CAPACITY}");
        self.ranges[self.len] = (pfns.start, pfns.end);
        self.len += 1;
    }

    /// Removes frames from the list.
    pub fn remove(&mut self, pfns: &Range<u64>) {
        let before = core::mem::replace(self, Self::new());
        for range in before.iter() {
            self.push(range.start..range.end.min(pfns.start));
            self.push(range.start.max(pfns.end)..range.end);
        }
    }
}
