//! The memory map: what each range of physical addresses is, sorted, without overlaps.
//!
//! Built from the loader's table at boot; `reserve=` and `ramtop=` of the command line and the kernel image are
//! applied to it, then it is published and never changes.

use crate::arch::paging;
use crate::boot::start_info::{MemoryMapEntry, StartInfo};
use crate::{cmdline, red};
use spin::Once;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegionKind {
    Ram,
    Reserved,
    Acpi,
    /// The loaded kernel image.
    Kernel,
    /// Taken during boot: page tables, the other CPUs' stacks and the code that starts them.
    Boot,
    /// The subject's metadata array.
    Meta,
}

impl RegionKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ram => "ram",
            Self::Reserved => "reserved",
            Self::Acpi => "acpi",
            Self::Kernel => "kernel",
            Self::Boot => "boot",
            Self::Meta => "meta",
        }
    }

    /// Whether there is memory behind these addresses that software may use, now or by having taken it.
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

/// Physical addresses `base..end`; neither need be a multiple of 4096.
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

/// More than any machine of ours with some dozens of reserved islands.
const CAPACITY: usize = 128;

/// A memory map under construction.
#[derive(Clone)]
pub struct Map {
    regions: [Region; CAPACITY],
    length: usize,
}

static MAP: Once<Map> = Once::new();

/// The regions of the published map; none before [`publish`].
pub fn regions() -> &'static [Region] {
    MAP.get().map_or(&[], Map::regions)
}

/// The published map as a whole, to derive others from. Panics before [`publish`].
pub fn published() -> &'static Map {
    MAP.get().expect("memory map: expected to be published")
}

/// The map that stays.
pub fn publish(map: Map) {
    MAP.call_once(|| map);
}

/// No x86-64 CPU has more than 52 bits of physical address (Intel SDM volume 3, 4.1.4).
const PHYSICAL_SPACE: u64 = 1 << 52;

/// Reads the loader's table and applies command line and kernel image. Panics when no RAM is left.
pub fn read(start_info: &StartInfo) -> Map {
    let entries = red::memory_map(start_info.memory_map);
    let mut map = Map::from_entries(entries);
    apply_command_line(&mut map);
    assert!(
        map.regions().iter().any(|region| region.kind == RegionKind::Ram),
        "memory map: {} entries of the loader: expected usable RAM, got none",
        entries.len()
    );
    let image = paging::kernel_image();
    let end_of_ram = map.end_of_ram();
    assert!(
        image.end <= end_of_ram,
        "memory map: end of RAM: expected above {:#x}, got {end_of_ram:#x}",
        image.end
    );
    map.paint(Region { base: image.start, end: image.end, kind: RegionKind::Kernel });
    map
}

fn apply_command_line(map: &mut Map) {
    if let Some(top) = cmdline::get("ramtop") {
        map.recolor(parse_hex("ramtop", top)..u64::MAX, RegionKind::Ram, None);
    }
    for island in cmdline::get("reserve").iter().flat_map(|list| list.split(',')) {
        let Some((base, length)) = island.split_once('+') else {
            panic!("command line: reserve: expected <base>+<length>, got {island}");
        };
        let (base, length) = (parse_hex("reserve", base), parse_hex("reserve", length));
        map.recolor(base..base.saturating_add(length), RegionKind::Ram, Some(RegionKind::Reserved));
    }
}

fn parse_hex(key: &str, text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
        .unwrap_or_else(|_| panic!("command line: {key}: expected a hexadecimal number, got {text}"))
}

impl Map {
    const fn new() -> Self {
        Self { regions: [Region { base: 0, end: 0, kind: RegionKind::Reserved }; CAPACITY], length: 0 }
    }

    /// RAM first, the rest over it: where entries overlap, RAM loses.
    fn from_entries(entries: &[MemoryMapEntry]) -> Self {
        let mut map = Self::new();
        for ram in [true, false] {
            for entry in entries {
                let kind = RegionKind::from_e820(entry.kind);
                // qboot (as in QEMU 7.2) counts one entry too many on microvm, and leaves in it what RAM held.
                let Some(end) = entry.base.checked_add(entry.bytes).filter(|&end| end <= PHYSICAL_SPACE)
                else {
                    continue;
                };
                if (kind == RegionKind::Ram) == ram {
                    map.paint(Region { base: entry.base, end, kind });
                }
            }
        }
        map
    }

    pub fn regions(&self) -> &[Region] {
        &self.regions[..self.length]
    }

    /// The highest address of memory, exclusive.
    pub fn end_of_ram(&self) -> u64 {
        self.regions()
            .iter()
            .filter(|region| region.kind.is_memory())
            .map(|region| region.end)
            .max()
            .unwrap_or(0)
    }

    /// Makes `new` the truth about its addresses.
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

    /// Appends, merged with the last region where both touch and agree; empty ones vanish.
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

    /// Turns what is `from` inside `range` into `to`, or takes it out of the map.
    fn recolor(&mut self, range: core::ops::Range<u64>, from: RegionKind, to: Option<RegionKind>) {
        let old = self.clone();
        self.length = 0;
        for &region in old.regions() {
            if region.kind != from {
                self.push(region);
                continue;
            }
            self.push(Region { end: region.end.min(range.start), ..region });
            if let Some(kind) = to {
                self.push(Region {
                    base: region.base.max(range.start),
                    end: region.end.min(range.end),
                    kind,
                });
            }
            self.push(Region { base: region.base.max(range.end), ..region });
        }
    }

    /// Takes the lowest whole page of RAM above the kernel image and below `limit`, and returns its address.
    pub fn take_page_below(&mut self, limit: u64, kind: RegionKind) -> u64 {
        self.take_page_within(paging::kernel_image().end..limit, kind)
    }

    /// Takes the lowest whole page of RAM in a range of addresses, and returns its address. Panics without one.
    pub fn take_page_within(&mut self, range: core::ops::Range<u64>, kind: RegionKind) -> u64 {
        const PAGE: u64 = 4096;
        let page = self
            .regions()
            .iter()
            .filter(|region| region.kind == RegionKind::Ram)
            .map(|region| (region.base.max(range.start).next_multiple_of(PAGE), region.end.min(range.end)))
            .find(|&(page, end)| page < end && end - page >= PAGE)
            .map(|(page, _)| page)
            .unwrap_or_else(|| panic!("memory map: page for {}: expected free RAM, got none", kind.name()));
        self.paint(Region { base: page, end: page + PAGE, kind });
        page
    }
}

/// Frames from address 0 to the end of memory, holes included.
pub fn frame_count() -> u64 {
    MAP.get().map_or(0, Map::end_of_ram).div_ceil(4096)
}

/// Bytes of memory, what is taken included, holes not.
pub fn memory_bytes() -> u64 {
    regions().iter().filter(|region| region.kind.is_memory()).map(Region::bytes).sum()
}
