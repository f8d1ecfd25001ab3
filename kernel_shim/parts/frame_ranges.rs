//! A sorted list of ranges of pfns.

use core::ops::Range;

/// More than the regions of a memory map that the host gives, with room for the parts that are cut out of them.
const CAPACITY: usize = 1100;

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
        self.place(self.len, (pfns.start, pfns.end));
    }

    /// Adds frames that are in no range.
    pub fn add(&mut self, pfns: &Range<u64>) {
        let at = self.ranges[..self.len].partition_point(|&(start, _)| start < pfns.start);
        self.place(at, (pfns.start, pfns.end));
        for left in [at, at.wrapping_sub(1)] {
            if left < self.len - 1 && self.ranges[left].1 == self.ranges[left + 1].0 {
                self.ranges[left].1 = self.ranges[left + 1].1;
                self.displace(left + 1);
            }
        }
    }

    /// Removes frames from the list.
    pub fn remove(&mut self, pfns: &Range<u64>) {
        let mut at = 0;
        while at < self.len {
            let (start, end) = self.ranges[at];
            let (before, after) = ((start, end.min(pfns.start)), (start.max(pfns.end), end));
            match (before.0 < before.1, after.0 < after.1) {
                (true, true) if before.1 < after.0 => {
                    self.ranges[at] = before;
                    self.place(at + 1, after);
                    at += 2;
                }
                (true, true) => at += 1,
                (false, false) => self.displace(at),
                (kept, _) => {
                    self.ranges[at] = if kept { before } else { after };
                    at += 1;
                }
            }
        }
    }

    /// In place: the stack has no room for many lists.
    fn place(&mut self, at: usize, range: (u64, u64)) {
        assert!(self.len < CAPACITY, "frame ranges: expected at most {CAPACITY}");
        self.ranges.copy_within(at..self.len, at + 1);
        self.ranges[at] = range;
        self.len += 1;
    }

    fn displace(&mut self, at: usize) {
        self.ranges.copy_within(at + 1..self.len, at);
        self.len -= 1;
    }
}
