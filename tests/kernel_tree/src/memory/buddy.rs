//! The buddy allocator: free blocks in lists by order and kind, single pages in a cache for each CPU.

use super::boot_alloc::{self, Piece};
use super::frame::{self, frame_flags, get_meta, AllocError, PhysFrame, PAGE_SIZE};
use super::zone::{BuddyBitmap, Migratetype, Zone, ZoneSegment, ZoneType, KINDS, MAX_ORDER, ORDERS};
use crate::arch::x86_64::percpu::{current_cpu_index, MAX_CPUS};
use crate::boot::entry::MemoryRegion;
use crate::memory::phys_to_virt;
use crate::sync::{IrqDisabledToken, SpinLock};
use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use x86_64::PhysAddr;

/// What the byte of a page says: nothing was given there, or a block of `order` begins there (`order + 1`), or the page is
/// in quarantine. Relaxed everywhere: the bytes are read and written under the allocator's lock or the cache's.
mod given {
    pub const NOTHING: u8 = 0;
    pub const QUARANTINE: u8 = 0xff;

    pub const fn block(order: u8) -> u8 {
        order + 1
    }
}

const CACHED: usize = 64;
const CAPACITY: usize = 256;

pub struct BuddyAllocator {
    zones: [Zone; ZoneType::COUNT],
    /// Where the bytes and bits of each zone lie: first address, one past the last.
    bitmap_pool: [Piece; ZoneType::COUNT],
}

static BUDDY_ALLOCATOR: SpinLock<Option<BuddyAllocator>> = SpinLock::new(None);
static POISON_QUARANTINE_PAGES: AtomicUsize = AtomicUsize::new(0);

struct LocalFrameCache {
    len: usize,
    frames: [u64; CAPACITY],
}

static LOCAL_FRAME_CACHES: [SpinLock<LocalFrameCache>; KINDS * MAX_CPUS] =
    [const { SpinLock::new(LocalFrameCache { len: 0, frames: [0; CAPACITY] }) }; KINDS * MAX_CPUS];
static LOCAL_CACHED_ZONE_FRAMES: [AtomicUsize; ZoneType::COUNT] = [const { AtomicUsize::new(0) }; ZoneType::COUNT];

impl ZoneSegment {
    fn index(&self, paddr: u64) -> usize {
        ((paddr - self.base.as_u64()) / PAGE_SIZE) as usize
    }

    /// The byte and the bit of the place where a block of `order` begins.
    fn bit(&self, paddr: u64, order: u8) -> (&AtomicU8, u8) {
        let size = PAGE_SIZE << order;
        let at = (paddr / size - self.base.as_u64() / size) as usize;
        (&self.buddy_bitmaps[usize::from(order)].bytes()[at / 8], 1 << (at % 8))
    }

    fn is_free(&self, paddr: u64, order: u8) -> bool {
        let (byte, bit) = self.bit(paddr, order);
        byte.load(Relaxed) & bit != 0
    }

    /// Puts a block on its list.
    fn push(&mut self, paddr: u64, order: u8) {
        let kind = Migratetype::home(paddr);
        for page in 0..1 << order {
            stamp(paddr + page * PAGE_SIZE, order, frame_flags::FREE | movable(kind));
        }
        let head = &mut self.free_lists[kind as usize][usize::from(order)];
        let slot = get_meta(PhysAddr::new(paddr));
        slot.set_prev(frame::FRAME_META_LINK_NONE);
        slot.set_next(link(*head));
        if *head != 0 {
            get_meta(PhysAddr::new(*head)).set_prev(paddr);
        }
        *head = paddr;
        let (byte, bit) = self.bit(paddr, order);
        byte.fetch_or(bit, Relaxed);
    }

    /// Takes a block off its list.
    fn unlink(&mut self, paddr: u64, order: u8) {
        let kind = Migratetype::home(paddr);
        let slot = get_meta(PhysAddr::new(paddr));
        let (prev, next) = (slot.prev(), slot.next());
        if prev == frame::FRAME_META_LINK_NONE {
            self.free_lists[kind as usize][usize::from(order)] = unlinked(next);
        } else {
            get_meta(PhysAddr::new(prev)).set_next(next);
        }
        if next != frame::FRAME_META_LINK_NONE {
            get_meta(PhysAddr::new(next)).set_prev(prev);
        }
        slot.set_next(frame::FRAME_META_LINK_NONE);
        slot.set_prev(frame::FRAME_META_LINK_NONE);
        let (byte, bit) = self.bit(paddr, order);
        byte.fetch_and(!bit, Relaxed);
    }

    /// Takes a block of `order` of one kind, and splits a larger one where it must.
    fn take(&mut self, order: u8, kind: Migratetype) -> Option<u64> {
        let found = (order..ORDERS as u8).find(|&larger| self.free_lists[kind as usize][usize::from(larger)] != 0)?;
        let paddr = self.free_lists[kind as usize][usize::from(found)];
        self.unlink(paddr, found);
        for smaller in (order..found).rev() {
            self.push(paddr + (PAGE_SIZE << smaller), smaller);
        }
        Some(paddr)
    }

    /// The same, of no poisoned frame: a block that has one goes to quarantine.
    fn take_sound(&mut self, order: u8, kind: Migratetype) -> Option<u64> {
        loop {
            let paddr = self.take(order, kind)?;
            if !frame::block_phys_has_poison_guard(paddr, order) {
                return Some(paddr);
            }
            self.quarantine(paddr, order);
        }
    }

    /// Notes that nobody gets a block again, which is on no list.
    fn quarantine(&mut self, paddr: u64, order: u8) {
        self.given()[self.index(paddr)].store(given::QUARANTINE, Relaxed);
        POISON_QUARANTINE_PAGES.fetch_add(1 << order, Relaxed);
        for page in 0..1 << order {
            let slot = get_meta(PhysAddr::new(paddr + page * PAGE_SIZE));
            slot.set_flags(slot.get_flags() & !frame_flags::FREE);
        }
    }

    /// Puts a block back, merged with its buddies.
    fn put(&mut self, mut paddr: u64, mut order: u8) {
        while usize::from(order) < MAX_ORDER {
            let buddy = paddr ^ (PAGE_SIZE << order);
            if !self.contains(buddy, order) || !self.is_free(buddy, order) {
                break;
            }
            self.unlink(buddy, order);
            paddr = paddr.min(buddy);
            order += 1;
        }
        self.push(paddr, order);
    }
}

impl BuddyAllocator {
    const fn new() -> Self {
        const ZONES: [Zone; ZoneType::COUNT] =
            [Zone::new(ZoneType::DMA), Zone::new(ZoneType::Normal), Zone::new(ZoneType::HighMem)];
        Self { zones: ZONES, bitmap_pool: [(0, 0); ZoneType::COUNT] }
    }

    fn init(&mut self) {
        for zone in ZoneType::ALL {
            self.reserve(zone);
        }
        // What is left now, after all that the allocator itself needs.
        for zone in ZoneType::ALL {
            self.build(zone);
        }
        boot_alloc::seal();
    }

    /// Takes memory for a zone's segments, bits and bytes, as if all that is left now were its.
    fn reserve(&mut self, zone_type: ZoneType) {
        let mut boot = boot_alloc::get_boot_allocator().lock();
        let (mut segments, mut bytes) = (0, 0);
        for (first, end) in boot.pieces().iter().filter_map(|&piece| part_in(piece, zone_type)) {
            segments += 1;
            bytes += bytes_for(((end - first) / PAGE_SIZE) as usize);
        }
        if segments == 0 {
            return;
        }
        let mut take = |size: usize, what: &str| {
            let Some(paddr) = boot.try_alloc_accessible(size, PAGE_SIZE as usize) else {
                panic!("buddy allocator: no {size} bytes for the {what} of zone {zone_type:?}")
            };
            let at = phys_to_virt(paddr.as_u64()) as *mut u8;
            // SAFETY: the boot allocator gave these bytes to this caller alone, and the kernel reaches them.
            unsafe { at.write_bytes(0, size) };
            (paddr.as_u64(), at)
        };
        let (pool, _) = take(bytes, "bitmaps");
        let (_, table) = take(segments * size_of::<ZoneSegment>(), "segments");
        self.bitmap_pool[zone_type as usize] = (pool, pool + bytes as u64);
        let zone = &mut self.zones[zone_type as usize];
        zone.segment_capacity = segments;
        zone.segments = table.cast();
    }

    /// Makes the segments of a zone, and fills their lists.
    fn build(&mut self, zone_type: ZoneType) {
        let boot = boot_alloc::get_boot_allocator().lock();
        let zone = &mut self.zones[zone_type as usize];
        let mut at = phys_to_virt(self.bitmap_pool[zone_type as usize].0) as *mut u8;
        for (first, end) in boot.pieces().iter().filter_map(|&piece| part_in(piece, zone_type)) {
            assert!(zone.segment_count < zone.segment_capacity, "buddy allocator: memory fell into more pieces");
            let segment = new_segment(first, end, &mut at);
            // SAFETY: the table has room for `segment_capacity` segments, and nobody refers to this one yet.
            unsafe { ptr::write(zone.segments.add(zone.segment_count), segment) };
            if zone.segment_count == 0 {
                zone.base = PhysAddr::new(first);
            }
            zone.segment_count += 1;
            zone.page_count += ((end - first) / PAGE_SIZE) as usize;
        }
        for segment in zone.segments_mut() {
            populate(segment);
        }
    }

    /// A block from the zones in this order, whatever is in caches.
    fn take(&mut self, order: u8, kind: Migratetype, zones: &[ZoneType]) -> Option<u64> {
        for &zone_type in zones {
            let zone = &mut self.zones[zone_type as usize];
            for kind in kind.searched() {
                let found = zone.segments_mut().iter_mut().find_map(|segment| {
                    let paddr = segment.take_sound(order, kind)?;
                    segment.given()[segment.index(paddr)].store(given::block(order), Relaxed);
                    Some(paddr)
                });
                if let Some(paddr) = found {
                    zone.allocated += 1 << order;
                    for page in 0..1 << order {
                        stamp(
                            paddr + page * PAGE_SIZE,
                            order,
                            frame_flags::ALLOCATED | movable(Migratetype::home(paddr)),
                        );
                    }
                    return Some(paddr);
                }
            }
        }
        None
    }

    /// The same; what is in caches goes back to the lists before the request fails.
    fn alloc(&mut self, order: u8, kind: Migratetype, zones: &[ZoneType]) -> Result<PhysFrame, AllocError> {
        if usize::from(order) > MAX_ORDER {
            return Err(AllocError::InvalidOrder);
        }
        let found = self.take(order, kind, zones).or_else(|| {
            self.drain();
            self.take(order, kind, zones)
        });
        found.map(frame_at).ok_or(AllocError::OutOfMemory)
    }

    /// Moves the frames of every cache to the lists.
    fn drain(&mut self) {
        for cache in &LOCAL_FRAME_CACHES {
            let mut cache = cache.lock();
            while cache.len > 0 {
                cache.len -= 1;
                let paddr = cache.frames[cache.len];
                let zone = zone_of(paddr);
                LOCAL_CACHED_ZONE_FRAMES[zone as usize].fetch_sub(1, Relaxed);
                self.put(paddr, 0);
            }
        }
    }

    /// Puts a block that nobody holds any more on the lists.
    fn put(&mut self, paddr: u64, order: u8) {
        let zone = &mut self.zones[zone_of(paddr) as usize];
        let found = zone.segments_mut().iter_mut().find(|segment| segment.contains(paddr, order));
        found.expect("the block was given from a segment").put(paddr, order);
        zone.allocated -= 1 << order;
    }

    /// Checks that the block was given, and forgets that. Whether it is poisoned: then nobody gets it again.
    fn take_back(&mut self, paddr: u64, order: u8) -> bool {
        let zone = &mut self.zones[zone_of(paddr) as usize];
        let wanted = |segment: &&mut ZoneSegment| segment.contains(paddr, order) && paddr % PAGE_SIZE == 0;
        let segment = zone.segments_mut().iter_mut().find(wanted);
        let byte = segment.as_ref().map(|segment| &segment.given()[segment.index(paddr)]);
        let was_given = byte.is_some_and(|byte| byte.load(Relaxed) == given::block(order));
        assert!(was_given, "buddy allocator: a free of {paddr:#x}, order {order}, which was not given");
        let poisoned = frame::block_phys_has_poison_guard(paddr, order);
        match segment {
            Some(segment) if poisoned => {
                segment.quarantine(paddr, order);
                zone.allocated -= 1 << order;
            }
            Some(segment) => segment.given()[segment.index(paddr)].store(given::NOTHING, Relaxed),
            None => {}
        }
        poisoned
    }

    fn free(&mut self, paddr: u64, order: u8) {
        if self.take_back(paddr, order) {
            return;
        }
        if order > 0 || !cache(paddr) {
            self.put(paddr, order);
        }
    }

    /// A block from one zone.
    pub fn alloc_zone_migratetype(
        &mut self,
        order: u8,
        zone: ZoneType,
        kind: Migratetype,
        _token: &IrqDisabledToken,
    ) -> Result<PhysFrame, AllocError> {
        self.alloc(order, kind, &[zone])
    }

    /// The pages that are managed, and those that callers hold.
    pub fn page_totals(&self) -> (usize, usize) {
        let cached: usize = LOCAL_CACHED_ZONE_FRAMES.iter().map(|count| count.load(Relaxed)).sum();
        let managed = self.zones.iter().map(|zone| zone.page_count).sum();
        let allocated: usize = self.zones.iter().map(|zone| zone.allocated).sum();
        (managed, allocated - cached)
    }
}

/// The part of a piece that lies in a zone.
fn part_in((first, end): Piece, zone: ZoneType) -> Option<Piece> {
    let (zone_first, zone_end) = zone.span();
    let part = (first.max(zone_first), end.min(zone_end));
    (part.0 < part.1).then_some(part)
}

/// The bits and bytes of a segment with so many pages, at most.
fn bytes_for(pages: usize) -> usize {
    pages + (0..ORDERS).map(|order| (pages >> order) / 8 + 2).sum::<usize>()
}

/// A segment that has no free block yet; `at` is where its bits and bytes begin, and is moved behind them.
fn new_segment(first: u64, end: u64, at: &mut *mut u8) -> ZoneSegment {
    let mut claim = |size: usize| {
        let start = *at;
        *at = start.wrapping_add(size);
        start
    };
    let page_count = ((end - first) / PAGE_SIZE) as usize;
    let given = claim(page_count);
    let buddy_bitmaps = core::array::from_fn(|order| {
        let size = PAGE_SIZE << order;
        let num_bits = ((end - 1) / size - first / size + 1) as usize;
        BuddyBitmap { data: claim(num_bits.div_ceil(8)), num_bits }
    });
    let free_lists = [[0; ORDERS]; KINDS];
    ZoneSegment { base: PhysAddr::new(first), page_count, free_lists, buddy_bitmaps, given }
}

/// Frees all of a segment, in the largest blocks that fit.
fn populate(segment: &mut ZoneSegment) {
    let (mut paddr, end) = (segment.base.as_u64(), segment.end());
    while paddr < end {
        let fits = |order: &u8| paddr % (PAGE_SIZE << order) == 0 && paddr + (PAGE_SIZE << order) <= end;
        let order = (0..ORDERS as u8).rev().find(fits).unwrap_or(0);
        segment.push(paddr, order);
        paddr += PAGE_SIZE << order;
    }
}

/// Marks the slot of a page whose block nobody holds, or is about to be given.
fn stamp(paddr: u64, order: u8, flags: u32) {
    let slot = get_meta(PhysAddr::new(paddr));
    slot.set_flags(flags);
    slot.set_order(order);
    slot.set_next(frame::FRAME_META_LINK_NONE);
    slot.set_prev(frame::FRAME_META_LINK_NONE);
    slot.set_refcount(frame::REFCOUNT_UNUSED);
    slot.reset_with_free_list_meta();
}

fn movable(kind: Migratetype) -> u32 {
    if kind == Migratetype::Movable {
        frame_flags::MOVABLE
    } else {
        0
    }
}

fn link(head: u64) -> u64 {
    if head == 0 {
        frame::FRAME_META_LINK_NONE
    } else {
        head
    }
}

fn unlinked(link: u64) -> u64 {
    if link == frame::FRAME_META_LINK_NONE {
        0
    } else {
        link
    }
}

fn zone_of(paddr: u64) -> ZoneType {
    if paddr < ZoneType::Normal.span().0 {
        ZoneType::DMA
    } else if paddr < ZoneType::HighMem.span().0 {
        ZoneType::Normal
    } else {
        ZoneType::HighMem
    }
}

fn frame_at(paddr: u64) -> PhysFrame {
    PhysFrame { start_address: PhysAddr::new(paddr) }
}

fn cache_of(kind: Migratetype) -> &'static SpinLock<LocalFrameCache> {
    &LOCAL_FRAME_CACHES[kind as usize * MAX_CPUS + current_cpu_index()]
}

/// Puts a single page into the CPU's cache, if there is room.
fn cache(paddr: u64) -> bool {
    let mut cache = cache_of(Migratetype::home(paddr)).lock();
    if cache.len >= CACHED {
        return false;
    }
    let at = cache.len;
    cache.frames[at] = paddr;
    cache.len += 1;
    stamp(paddr, 0, frame_flags::FREE | movable(Migratetype::home(paddr)));
    LOCAL_CACHED_ZONE_FRAMES[zone_of(paddr) as usize].fetch_add(1, Relaxed);
    true
}

/// Takes a single page from the CPU's cache.
fn cached(kind: Migratetype) -> Option<u64> {
    let mut cache = cache_of(kind).lock();
    cache.len = cache.len.checked_sub(1)?;
    let paddr = cache.frames[cache.len];
    LOCAL_CACHED_ZONE_FRAMES[zone_of(paddr) as usize].fetch_sub(1, Relaxed);
    stamp(paddr, 0, frame_flags::ALLOCATED | movable(Migratetype::home(paddr)));
    Some(paddr)
}

pub fn init_buddy_allocator(_regions: &[MemoryRegion]) {
    let mut core = BUDDY_ALLOCATOR.lock();
    let core = core.insert(BuddyAllocator::new());
    core.init();
}

pub fn get_allocator() -> &'static SpinLock<Option<BuddyAllocator>> {
    &BUDDY_ALLOCATOR
}

pub fn alloc_migratetype(_token: &IrqDisabledToken, order: u8, kind: Migratetype) -> Result<PhysFrame, AllocError> {
    let mut core = BUDDY_ALLOCATOR.lock();
    let core = core.as_mut().ok_or(AllocError::OutOfMemory)?;
    if order == 0 {
        while let Some(paddr) = cached(kind) {
            if core.give_cached(paddr) {
                return Ok(frame_at(paddr));
            }
        }
    }
    let zones = match kind {
        Migratetype::Unmovable => [ZoneType::Normal, ZoneType::HighMem, ZoneType::DMA],
        Migratetype::Movable => [ZoneType::HighMem, ZoneType::Normal, ZoneType::DMA],
    };
    core.alloc(order, kind, &zones)
}

impl BuddyAllocator {
    /// Notes that a page from a cache was given. Whether it may be: a poisoned one goes to quarantine.
    fn give_cached(&mut self, paddr: u64) -> bool {
        let zone = &mut self.zones[zone_of(paddr) as usize];
        let found = zone.segments_mut().iter_mut().find(|segment| segment.contains(paddr, 0));
        let segment = found.expect("a cached page is of a segment");
        if frame::block_phys_has_poison_guard(paddr, 0) {
            segment.quarantine(paddr, 0);
            zone.allocated -= 1;
            return false;
        }
        segment.given()[segment.index(paddr)].store(given::block(0), Relaxed);
        true
    }
}

pub fn free(_token: &IrqDisabledToken, frame: PhysFrame, order: u8) {
    let mut core = BUDDY_ALLOCATOR.lock();
    let core = core.as_mut().expect("a block was given");
    core.free(frame.start_address.as_u64(), order);
}
