//! The allocator of the time before the buddy: hands out RAM for good.

use super::frame_ranges::FrameRanges;
use super::phys_to_virt;
use super::subject::PAGE_SIZE;
use super::zone::Zone;
use crate::memory_map::{self, RegionKind};
use core::ops::Range;
use core::ptr;
use spin::Mutex;
use x86_64::PhysAddr;

static BOOT_ALLOCATOR: Mutex<BootAllocator> = Mutex::new(BootAllocator::new());

/// The one there is, as the memory map left it at boot.
pub fn get() -> &'static Mutex<BootAllocator> {
    &BOOT_ALLOCATOR
}

/// Allows one more caller after a panic abandoned the holder of the lock.
///
/// # Safety
/// Whoever holds the lock must never run again.
pub unsafe fn unlock_after_panic() {
    if BOOT_ALLOCATOR.is_locked() {
        // SAFETY: the caller says that the holder's guard is gone without having been dropped.
        unsafe { BOOT_ALLOCATOR.force_unlock() }
    }
}

/// Whole frames of RAM that nobody has been given. Frame 0 is never among them: its address reads as
/// "none" in too many places.
pub struct BootAllocator {
    free: FrameRanges,
    taken: FrameRanges,
    faults: Faults,
    log: RequestLog,
}

/// A request that was served.
#[derive(Clone, Copy)]
pub struct Request {
    pub size: usize,
    pub align: usize,
    pub paddr: u64,
}

/// The first requests. At boot there are a few; a test that builds the table at every alignment makes many.
type RequestLog = [Option<Request>; LOG_CAPACITY];
const LOG_CAPACITY: usize = 256;

/// What a test makes the allocator do wrong.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    /// Serve nobody.
    pub refuse: bool,
    /// Hand out addresses that are this many bytes off.
    pub misalign: u64,
}

impl BootAllocator {
    const fn new() -> Self {
        Self {
            free: FrameRanges::new(),
            taken: FrameRanges::new(),
            faults: Faults { refuse: false, misalign: 0 },
            log: [None; LOG_CAPACITY],
        }
    }

    /// Takes over all RAM of the memory map that is not in use.
    pub fn init(&mut self) {
        for region in memory_map::regions().iter().filter(|region| region.kind == RegionKind::Ram) {
            let whole = region.base.div_ceil(PAGE_SIZE).max(1)..region.end / PAGE_SIZE;
            self.free.push(whole);
        }
    }

    /// `size` bytes at a multiple of `align` (a power of two) that the HHDM maps, which is all RAM.
    ///
    /// The memory is full of garbage, on purpose: whoever forgets to initialize it finds out. The scarce
    /// zones are left alone as long as there is other memory.
    pub fn try_alloc_accessible(&mut self, size: usize, align: usize) -> Option<PhysAddr> {
        if self.faults.refuse || size == 0 {
            return None;
        }
        let bytes = (size as u64).checked_add(self.faults.misalign)?;
        let pfns = [Zone::HighMem, Zone::Normal, Zone::Dma]
            .into_iter()
            .find_map(|zone| self.find(bytes.div_ceil(PAGE_SIZE), align as u64, zone.pfns().start))?;
        self.free.remove(&pfns);
        self.note_taken(&pfns);
        fill_with_garbage(&pfns);
        let paddr = pfns.start * PAGE_SIZE + self.faults.misalign;
        if let Some(unused) = self.log.iter_mut().find(|entry| entry.is_none()) {
            *unused = Some(Request { size, align, paddr });
        }
        Some(PhysAddr::new(paddr))
    }

    /// As frame modules asked for it before there was memory that the HHDM does not map.
    #[allow(dead_code)]
    pub fn try_alloc(&mut self, size: usize, align: usize) -> Option<PhysAddr> {
        self.try_alloc_accessible(size, align)
    }

    /// The same for callers that cannot do without.
    #[allow(dead_code)]
    pub fn alloc(&mut self, size: usize, align: usize) -> PhysAddr {
        let found = self.try_alloc(size, align);
        found.unwrap_or_else(|| panic!("boot allocator: no {size} bytes at a multiple of {align}"))
    }

    /// The requests that were served, in order.
    pub fn log(&self) -> impl Iterator<Item = &Request> {
        self.log.iter().flatten()
    }

    /// The lowest free frames not below `floor` that suffice.
    fn find(&self, frames: u64, align: u64, floor: u64) -> Option<Range<u64>> {
        let step = align.div_ceil(PAGE_SIZE);
        self.free.iter().find_map(|range| {
            let start = range.start.max(floor).next_multiple_of(step);
            let end = start.checked_add(frames)?;
            (end <= range.end).then_some(start..end)
        })
    }

    fn note_taken(&mut self, pfns: &Range<u64>) {
        let mut taken = FrameRanges::new();
        let (below, above) = (|r: &Range<u64>| r.end <= pfns.start, |r: &Range<u64>| r.start >= pfns.end);
        self.taken.iter().filter(below).for_each(|range| taken.push(range));
        taken.push(pfns.clone());
        self.taken.iter().filter(above).for_each(|range| taken.push(range));
        self.taken = taken;
    }

    /// What has been handed out, rounded to whole frames.
    pub fn taken(&self) -> &FrameRanges {
        &self.taken
    }

    /// Gives up all that is left; nobody is served any more.
    pub fn hand_over(&mut self) -> FrameRanges {
        core::mem::replace(&mut self.free, FrameRanges::new())
    }

    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    pub fn faults(&self) -> Faults {
        self.faults
    }
}

/// Fills frames with bytes that are neither zero nor the same everywhere.
fn fill_with_garbage(pfns: &Range<u64>) {
    let mut page = [0; PAGE_SIZE as usize];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ pfns.start;
    for byte in &mut page {
        // xorshift64 (Marsaglia, 2003); never 0, as the state never is.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = (state >> 56) as u8 | 1;
    }
    for pfn in pfns.clone() {
        let frame = ptr::with_exposed_provenance_mut::<u8>(phys_to_virt(pfn * PAGE_SIZE) as usize);
        // SAFETY: the frame is RAM that the HHDM maps; it has just been taken out of `free`, where every
        // frame is nobody's, so nothing refers to it. `page` lies in the kernel's stack, which is none of them.
        unsafe { frame.copy_from_nonoverlapping(page.as_ptr(), page.len()) }
    }
}
