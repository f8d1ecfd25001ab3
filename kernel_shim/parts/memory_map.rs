//! The memory map: what each range of physical addresses is, sorted, without overlaps.
//!
//! It is built from the loader's table. The command line (`reserve=`, `ramtop=`) and the kernel image are applied to it.

use crate::command_line::parse_hex;
use crate::frame_ranges::FrameRanges;
use crate::named::named;
use crate::{pfn_to_paddr, PAGE_SIZE};
use core::ops::Range;

named! {
    pub enum RegionKind {
        Ram "ram",
        Reserved "reserved",
        Acpi "acpi",
        /// The loaded kernel image.
        Kernel "kernel",
        /// Taken during boot: page tables, the other CPUs' stacks and the code that starts them.
        Boot "boot",
        /// The subject's metadata array.
        Meta "meta",
    }
}

impl RegionKind {
    /// Whether there is memory at these addresses that software may use or already uses.
    pub fn is_memory(self) -> bool {
        matches!(self, Self::Ram | Self::Kernel | Self::Boot | Self::Meta)
    }

    /// From the type of an e820 entry (ACPI specification 6.5, table 15.4).
    fn from_e820(kind: u32) -> Self {
        match kind {
            1 => Self::Ram,
            3 | 4 => Self::Acpi,
            _ => Self::Reserved,
        }
    }
}

/// One entry of the loader's table. `kind` is that of an e820 table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub base: u64,
    pub bytes: u64,
    pub kind: u32,
}

/// Physical addresses `base..end`. Neither has to be a multiple of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    pub base: u64,
    /// Exclusive.
    pub end: u64,
    pub kind: RegionKind,
}

impl Region {
    pub fn bytes(&self) -> u64 {
        self.end - self.base
    }
}

/// More regions than any machine has, with some dozens of reserved islands.
const CAPACITY: usize = 128;

/// A memory map under construction.
#[derive(Clone)]
pub struct Map {
    regions: [Region; CAPACITY],
    length: usize,
}

/// No x86-64 CPU has more than 52 bits of physical address (Intel SDM volume 3, 4.1.4).
const PHYSICAL_SPACE: u64 = 1 << 52;

impl Map {
    pub const fn new() -> Self {
        Self { regions: [Region { base: 0, end: 0, kind: RegionKind::Reserved }; CAPACITY], length: 0 }
    }

    /// Builds the map of the loader's entries. Where entries overlap, the address is not RAM.
    pub fn from_entries<I: Iterator<Item = Entry>>(entries: impl Fn() -> I) -> Self {
        let mut map = Self::new();
        for ram in [true, false] {
            for entry in entries() {
                let kind = RegionKind::from_e820(entry.kind);
                // qboot (as in QEMU 7.2) counts one entry too many on microvm, which holds the former content of RAM.
                let Some(end) = entry.base.checked_add(entry.bytes).filter(|&end| end <= PHYSICAL_SPACE) else {
                    continue;
                };
                if (kind == RegionKind::Ram) == ram {
                    map.paint(Region { base: entry.base, end, kind });
                }
            }
        }
        map
    }

    /// Applies the options of the command line.
    ///
    /// # Panics
    /// When an option is malformed.
    pub fn restrict(&mut self, ramtop: Option<&str>, reserve: Option<&str>) {
        if let Some(top) = ramtop {
            self.recolor(parse_hex("ramtop", top)..u64::MAX, RegionKind::Ram, None);
        }
        for island in reserve.iter().flat_map(|list| list.split(',')) {
            let Some((base, length)) = island.split_once('+') else {
                panic!("command line: reserve: expected <base>+<length>, got {island}");
            };
            let (base, length) = (parse_hex("reserve", base), parse_hex("reserve", length));
            self.recolor(base..base.saturating_add(length), RegionKind::Ram, Some(RegionKind::Reserved));
        }
    }

    /// Notes where the kernel lies. Islands that were cut out of RAM there are the kernel's all the same.
    ///
    /// # Panics
    /// When there is no RAM, or it ends ahead of the kernel's end.
    pub fn place_kernel(&mut self, image: &Range<u64>, entries: usize) {
        assert!(
            self.of_kind(RegionKind::Ram).next().is_some(),
            "memory map: {entries} entries of the loader: expected usable RAM, got none"
        );
        let end_of_ram = self.end_of_ram();
        assert!(
            image.end <= end_of_ram,
            "memory map: end of RAM: expected above {:#x}, got {end_of_ram:#x}",
            image.end
        );
        self.paint(Region { base: image.start, end: image.end, kind: RegionKind::Kernel });
    }

    pub fn regions(&self) -> &[Region] {
        &self.regions[..self.length]
    }

    pub fn of_kind(&self, kind: RegionKind) -> impl Iterator<Item = &Region> {
        self.regions().iter().filter(move |region| region.kind == kind)
    }

    fn memory(&self) -> impl Iterator<Item = &Region> {
        self.regions().iter().filter(|region| region.kind.is_memory())
    }

    /// The highest address of memory, exclusive.
    pub fn end_of_ram(&self) -> u64 {
        self.memory().map(|region| region.end).max().unwrap_or(0)
    }

    /// Frames from address 0 to the end of memory, holes included.
    pub fn frame_count(&self) -> u64 {
        self.end_of_ram().div_ceil(PAGE_SIZE)
    }

    /// Bytes of memory without the holes. Memory that is taken counts.
    pub fn memory_bytes(&self) -> u64 {
        self.memory().map(Region::bytes).sum()
    }

    /// Whole frames of RAM that nobody uses. Frame 0 is never among them: in too many places its address means "none".
    pub fn free_frames(&self) -> FrameRanges {
        let mut frames = FrameRanges::new();
        for region in self.of_kind(RegionKind::Ram) {
            frames.push(region.base.div_ceil(PAGE_SIZE).max(1)..region.end / PAGE_SIZE);
        }
        frames
    }

    /// The frames that hold memory. Memory that is taken counts, and so does a frame that is memory only in part: it is
    /// one of those that the buddy is never given.
    pub fn frames_of_memory(&self) -> FrameRanges {
        let mut frames = FrameRanges::new();
        let mut end_of_last = 0;
        for region in self.memory() {
            // Neighbors may meet in the middle of a frame, which counts once.
            let (first, end) = (region.base / PAGE_SIZE, region.end.div_ceil(PAGE_SIZE));
            frames.push(first.max(end_of_last)..end);
            end_of_last = end;
        }
        frames
    }

    /// The map with the frames that the boot allocator handed out. RAM that it can hand out to nobody is shown as taken
    /// at boot: frame 0, and the part of a frame at an end where no other region begins.
    pub fn with_taken(&self, taken: &FrameRanges) -> Self {
        let mut map = self.clone();
        for region in self.of_kind(RegionKind::Ram) {
            let whole_frames = region.base.next_multiple_of(PAGE_SIZE)..region.end / PAGE_SIZE * PAGE_SIZE;
            map.take(region.base, region.end.min(PAGE_SIZE));
            if self.is_free_standing(region.base) {
                map.take(region.base, whole_frames.start.min(region.end));
            }
            if self.is_free_standing(region.end) {
                map.take(whole_frames.end.max(region.base), region.end);
            }
        }
        for pfns in taken.iter() {
            let (base, end) = (pfn_to_paddr(pfns.start), pfn_to_paddr(pfns.end));
            map.paint(Region { base, end, kind: RegionKind::Meta });
        }
        map
    }

    fn take(&mut self, base: u64, end: u64) {
        self.paint(Region { base, end, kind: RegionKind::Boot });
    }

    /// Whether only one region touches `address`.
    fn is_free_standing(&self, address: u64) -> bool {
        self.regions().iter().filter(|region| region.base == address || region.end == address).count() == 1
    }

    /// Replaces whatever the map says about the addresses of `new`.
    pub fn paint(&mut self, new: Region) {
        if new.base >= new.end {
            return;
        }
        let old = self.clone();
        self.length = 0;
        let mut pending = Some(new);
        for &region in old.regions() {
            let before = Region { end: region.end.min(new.base), ..region };
            let after = Region { base: region.base.max(new.end), ..region };
            self.push(before);
            if region.end > new.base {
                pending.take().into_iter().for_each(|new| self.push(new));
            }
            self.push(after);
        }
        pending.into_iter().for_each(|new| self.push(new));
    }

    /// Appends a region. It is merged with the last one where both touch and have one kind. An empty one is dropped.
    fn push(&mut self, region: Region) {
        if region.base >= region.end {
            return;
        }
        let last = self.regions[..self.length].last_mut();
        if let Some(last) = last.filter(|last| last.end == region.base && last.kind == region.kind) {
            last.end = region.end;
            return;
        }
        assert!(self.length < CAPACITY, "memory map: regions: expected at most {CAPACITY}");
        self.regions[self.length] = region;
        self.length += 1;
    }

    /// Turns what is `from` inside `range` into `to`, or removes it from the map.
    fn recolor(&mut self, range: Range<u64>, from: RegionKind, to: Option<RegionKind>) {
        let old = self.clone();
        self.length = 0;
        for &region in old.regions() {
            if region.kind != from {
                self.push(region);
                continue;
            }
            self.push(Region { end: region.end.min(range.start), ..region });
            if let Some(kind) = to {
                let (base, end) = (region.base.max(range.start), region.end.min(range.end));
                self.push(Region { base, end, kind });
            }
            self.push(Region { base: region.base.max(range.end), ..region });
        }
    }

    /// Takes the lowest whole page of RAM in a range of addresses, and returns its address.
    ///
    /// # Panics
    /// When there is none.
    pub fn take_page_within(&mut self, range: Range<u64>, kind: RegionKind) -> u64 {
        let page = self
            .of_kind(RegionKind::Ram)
            .map(|region| (region.base.max(range.start).next_multiple_of(PAGE_SIZE), region.end.min(range.end)))
            .find(|&(page, end)| page < end && end - page >= PAGE_SIZE)
            .map(|(page, _)| page)
            .unwrap_or_else(|| panic!("memory map: page for {}: expected free RAM, got none", kind.name()));
        self.paint(Region { base: page, end: page + PAGE_SIZE, kind });
        page
    }
}
