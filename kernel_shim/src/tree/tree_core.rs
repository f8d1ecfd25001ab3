//! The core of a kernel tree, whatever its version calls what it is asked for.

use crate::boot::region::{self, MemoryKind, MemoryRegion};
#[cfg(tree_has = "frame_options")]
use crate::memory::frame::{FrameAllocOptions, FramePurpose};
use crate::memory::zone::{Zone, ZoneType};
use crate::memory::{boot_alloc, buddy, frame, paging};
#[cfg(tree_has = "frame_options")]
use crate::memory_core::Purpose;
use crate::memory_core::{CoreError, Layout, MemoryCore, SlotWords, Totals, Wanted, WantedFrame};
use crate::sync::{noise, with_irqs_disabled, IrqDisabledToken};
use frame::{AllocError, PhysFrame};
use shim_parts::text::Text;
use shim_parts::zone;
use x86_64::PhysAddr;

pub struct TreeCore;

impl MemoryCore for TreeCore {
    const OFFERS: &'static [(&'static str, bool)] = &[
        ("protected", cfg!(tree_has = "protected") || !crate::boot::limine::NAMES.is_empty()),
        ("kinds", cfg!(tree_has = "alloc_migratetype")),
        ("poison", cfg!(tree_has = "mark_poisoned")),
        ("tables", cfg!(tree_has = "frame_options")),
        ("slots", cfg!(all(tree_has = "frame_options", tree_has = "unused"))),
        ("ownership", cfg!(feature = "ownership")),
        ("hhdm", cfg!(tree_has = "is_hhdm_range_mapped_now")),
    ];

    /// The order of the steps is that of a kernel: protected ranges, boot allocator, slots, buddy allocator.
    fn start(hhdm_end: u64) {
        noise::end(); // a panic may have left it on
        paging::set_hhdm_end(hhdm_end);
        protect();
        let map = region::regions();
        boot_alloc::init_boot_allocator(map);
        frame::init_metadata_array(end_of_memory(map), &mut boot_alloc::get_boot_allocator().lock());
        buddy::init_buddy_allocator(map);
    }

    fn allocate(wanted: &Wanted) -> Result<u64, CoreError> {
        let given = match wanted.zone {
            None => with_irqs_disabled(|token| alloc_anywhere(token, wanted.order, wanted.kind)),
            Some(zone) => buddy::get_allocator().lock().with_mut_and_token(|core, token| match core.as_mut() {
                Some(core) => alloc_in(core, wanted.order, zone_type(zone), wanted.kind, token),
                None => Err(AllocError::OutOfMemory),
            }),
        };
        address(given)
    }

    fn free(paddr: u64, order: u8) {
        let start_address = PhysAddr::new_truncate(paddr);
        with_irqs_disabled(|token| buddy::free(token, PhysFrame { start_address }, order));
    }

    #[cfg(tree_has = "mark_poisoned")]
    fn poison(paddr: u64) -> Result<(), CoreError> {
        frame::get_meta(PhysAddr::new(paddr)).mark_poisoned();
        Ok(())
    }

    #[cfg(not(tree_has = "mark_poisoned"))]
    fn poison(_paddr: u64) -> Result<(), CoreError> {
        Err(CoreError::Unknown)
    }

    fn totals() -> Option<Totals> {
        let core = buddy::get_allocator().lock();
        let (managed, allocated) = core.as_ref()?.page_totals();
        Some(Totals { managed: managed as u64, allocated: allocated as u64 })
    }

    fn layout() -> Layout {
        let page_count = core::mem::offset_of!(Zone, page_count);
        let allocated = core::mem::offset_of!(Zone, allocated);
        Layout {
            of: "zone::Zone",
            bytes: size_of::<Zone>(),
            offsets: [("page_count", page_count), ("allocated", allocated)],
        }
    }

    #[cfg(all(tree_has = "frame_options", tree_has = "unused"))]
    fn words() -> Result<SlotWords, CoreError> {
        use frame::frame_flags as flags;
        #[cfg(tree_has = "movable")]
        let movable = flags::MOVABLE;
        #[cfg(not(tree_has = "movable"))]
        let movable = 0;
        let (free, allocated) = (flags::FREE, flags::ALLOCATED);
        let (kernel, user) = (flags::KERNEL, flags::USER);
        Ok(SlotWords { unused: frame::REFCOUNT_UNUSED, free, allocated, kernel, user, movable })
    }

    #[cfg(not(all(tree_has = "frame_options", tree_has = "unused")))]
    fn words() -> Result<SlotWords, CoreError> {
        Err(CoreError::Unknown)
    }

    #[cfg(tree_has = "frame_options")]
    fn allocate_frame(wanted: &WantedFrame) -> Result<u64, CoreError> {
        let purpose = match wanted.purpose {
            Purpose::PageTable => FramePurpose::PageTable,
            Purpose::Kernel => FramePurpose::KernelData,
            Purpose::User => FramePurpose::UserData,
        };
        let options =
            wanted.zeroed_before.into_iter().fold(FrameAllocOptions::new(), |options, zeroed| options.zeroed(zeroed));
        let options =
            wanted.zeroed_after.into_iter().fold(options.purpose(purpose), |options, zeroed| options.zeroed(zeroed));
        address(with_irqs_disabled(|token| options.allocate(token)))
    }

    #[cfg(not(tree_has = "frame_options"))]
    fn allocate_frame(_wanted: &WantedFrame) -> Result<u64, CoreError> {
        Err(CoreError::Unknown)
    }

    #[cfg(all(tree_has = "frame_options", tree_has = "unused"))]
    fn drop_reference(paddr: u64) -> Result<u32, CoreError> {
        Ok(frame::get_meta(PhysAddr::new(paddr)).dec_ref())
    }

    #[cfg(not(all(tree_has = "frame_options", tree_has = "unused")))]
    fn drop_reference(_paddr: u64) -> Result<u32, CoreError> {
        Err(CoreError::Unknown)
    }
}

/// The address of what was given, or the error by its name.
fn address(given: Result<PhysFrame, AllocError>) -> Result<u64, CoreError> {
    let named = |error| CoreError::named(Text::<32>::from_args(format_args!("{error:?}")).as_str());
    given.map(|frame| frame.start_address.as_u64()).map_err(named)
}

#[cfg(tree_has = "protected")]
fn protect() {
    let mut ranges = [None; region::MAX_PROTECTED];
    for (index, range) in ranges.iter_mut().enumerate() {
        *range = region::protected(index);
    }
    boot_alloc::set_protected_ranges(&ranges);
}

/// Older cores ask for each range by the name of a module.
#[cfg(not(tree_has = "protected"))]
fn protect() {}

/// The highest end of memory that the core may use.
fn end_of_memory(map: &[MemoryRegion]) -> u64 {
    let usable = map.iter().filter(|region| matches!(region.kind, MemoryKind::Free | MemoryKind::Reclaim));
    usable.map(|region| region.base.saturating_add(region.size)).max().unwrap_or(0)
}

fn zone_type(zone: zone::Zone) -> ZoneType {
    match zone {
        zone::Zone::Dma => ZoneType::DMA,
        zone::Zone::Normal => ZoneType::Normal,
        zone::Zone::HighMem => ZoneType::HighMem,
    }
}

#[cfg(tree_has = "alloc_migratetype")]
fn alloc_anywhere(token: &IrqDisabledToken, order: u8, kind: zone::Migratetype) -> Result<PhysFrame, AllocError> {
    buddy::alloc_migratetype(token, order, migratetype(kind))
}

#[cfg(not(tree_has = "alloc_migratetype"))]
fn alloc_anywhere(token: &IrqDisabledToken, order: u8, _kind: zone::Migratetype) -> Result<PhysFrame, AllocError> {
    buddy::alloc(token, order)
}

#[cfg(tree_has = "alloc_zone_migratetype")]
fn alloc_in(
    core: &mut buddy::BuddyAllocator,
    order: u8,
    zone: ZoneType,
    kind: zone::Migratetype,
    token: &IrqDisabledToken,
) -> Result<PhysFrame, AllocError> {
    core.alloc_zone_migratetype(order, zone, migratetype(kind), token)
}

#[cfg(not(tree_has = "alloc_zone_migratetype"))]
fn alloc_in(
    core: &mut buddy::BuddyAllocator,
    order: u8,
    zone: ZoneType,
    _kind: zone::Migratetype,
    token: &IrqDisabledToken,
) -> Result<PhysFrame, AllocError> {
    core.alloc_zone(order, zone, token)
}

#[cfg(tree_has = "alloc_migratetype")]
fn migratetype(kind: zone::Migratetype) -> crate::memory::zone::Migratetype {
    use crate::memory::zone::Migratetype;
    match kind {
        zone::Migratetype::Unmovable => Migratetype::Unmovable,
        zone::Migratetype::Movable => Migratetype::Movable,
    }
}
