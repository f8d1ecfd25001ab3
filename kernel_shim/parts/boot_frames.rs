//! The account of the boot allocator: which frames are free, which were handed out, what was asked for.

use crate::frame_ranges::FrameRanges;
use crate::zone::Zone;
use crate::{pfn_to_paddr, PAGE_SIZE};
use core::ops::Range;

/// Whole frames of RAM that nobody has been given.
pub struct BootFrames {
    free: FrameRanges,
    taken: FrameRanges,
    pub faults: Faults,
    log: RequestLog,
}

/// A request that was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub size: usize,
    pub align: usize,
    pub paddr: u64,
}

/// The first requests. At boot there are a few. A test that builds the table at every alignment makes many.
type RequestLog = [Option<Request>; LOG_CAPACITY];
const LOG_CAPACITY: usize = 256;

/// The faults that a test injects.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    /// Every request fails.
    pub refuse: bool,
    /// Each address is this many bytes off.
    pub misalign: u64,
}

/// Frames that were handed out, with the address that the caller gets.
pub struct Grant {
    pub pfns: Range<u64>,
    pub paddr: u64,
}

impl BootFrames {
    pub const fn new() -> Self {
        Self {
            free: FrameRanges::new(),
            taken: FrameRanges::new(),
            faults: Faults { refuse: false, misalign: 0 },
            log: [None; LOG_CAPACITY],
        }
    }

    /// Takes over frames that nobody uses.
    pub fn add(&mut self, free: FrameRanges) {
        self.free = free;
    }

    /// Hands out `size` bytes at a multiple of `align`, which is a power of two. The scarce zones come last.
    pub fn take(&mut self, size: usize, align: usize) -> Option<Grant> {
        if self.faults.refuse || size == 0 {
            return None;
        }
        let bytes = (size as u64).checked_add(self.faults.misalign)?;
        let pfns = [Zone::HighMem, Zone::Normal, Zone::Dma]
            .into_iter()
            .find_map(|zone| self.find(bytes.div_ceil(PAGE_SIZE), align as u64, zone.pfns().start))?;
        self.free.remove(&pfns);
        self.taken.add(&pfns);
        let paddr = pfn_to_paddr(pfns.start) + self.faults.misalign;
        if let Some(unused) = self.log.iter_mut().find(|entry| entry.is_none()) {
            *unused = Some(Request { size, align, paddr });
        }
        Some(Grant { pfns, paddr })
    }

    /// The lowest free frames from `floor` on that suffice.
    fn find(&self, frames: u64, align: u64, floor: u64) -> Option<Range<u64>> {
        let step = align.div_ceil(PAGE_SIZE);
        self.free.iter().find_map(|range| {
            let start = range.start.max(floor).next_multiple_of(step);
            let end = start.checked_add(frames)?;
            (end <= range.end).then_some(start..end)
        })
    }

    /// The requests that were served, in order.
    pub fn log(&self) -> impl Iterator<Item = &Request> {
        self.log.iter().flatten()
    }

    /// The frames that have been handed out.
    pub fn taken(&self) -> &FrameRanges {
        &self.taken
    }

    /// Gives up all frames that are left. Later requests fail.
    pub fn hand_over(&mut self) -> FrameRanges {
        core::mem::replace(&mut self.free, FrameRanges::new())
    }
}
