//! The core of a kernel tree, whatever its version calls what it is asked for.

use crate::boot::region::{self, MemoryKind, MemoryRegion};
use crate::frame_module::{self, address};
use crate::memory::zone::{Zone, ZoneType};
use crate::memory::{boot_alloc, buddy, frame, paging};
use crate::memory_core::{CoreError, Layout, MemoryCore, Totals, Wanted};
use crate::sync::{noise, with_irqs_disabled, IrqDisabledToken};
use frame::{AllocError, PhysFrame};
use shim_parts::zone;

pub struct TreeCore;

impl MemoryCore for TreeCore {
    const OFFERS: &'static [(&'static str, bool)] = &[
        ("protected", cfg!(core_has = "protected") || !crate::boot::limine::NAMES.is_empty()),
        ("kinds", cfg!(core_has = "alloc_migratetype")),
        ("poison", frame_module::HAS_POISON),
        ("tables", frame_module::HAS_OPTIONS),
        ("slots", frame_module::HAS_SLOTS),
        ("ownership", cfg!(feature = "ownership")),
        ("hhdm", cfg!(core_has = "is_hhdm_range_mapped_now")),
    ];

    /// The order of the steps is that of a kernel: protected ranges, boot allocator, slots, buddy allocator.
    fn start(hhdm_end: u64) {
        noise::end(); // a panic may have left it on
        paging::set_hhdm_end(hhdm_end);
        // Older cores ask for each range by the name of a module.
        #[cfg(core_has = "protected")]
        boot_alloc::set_protected_ranges(&core::array::from_fn::<_, { region::MAX_PROTECTED }, _>(region::protected));
        let map = region::regions();
        boot_alloc::init_boot_allocator(map);
        frame::init_metadata_array(end_of_memory(map), &mut boot_alloc::get_boot_allocator().lock());
        buddy::init_buddy_allocator(map);
    }

    fn allocate(wanted: &Wanted) -> Result<u64, CoreError> {
        let given = match wanted.zone {
            None => with_irqs_disabled(|token| alloc_anywhere(token, wanted.order, wanted.kind)),
            Some(zone) => {
                let asked = buddy::get_allocator().lock().with_mut_and_token(|core, token| {
                    Some(alloc_in(core.as_mut()?, wanted.order, zone_type(zone), wanted.kind, token))
                });
                asked.ok_or(CoreError::NotStarted)?
            }
        };
        address(given)
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
}

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

fn alloc_anywhere(token: &IrqDisabledToken, order: u8, _kind: zone::Migratetype) -> Result<PhysFrame, AllocError> {
    #[cfg(core_has = "alloc_migratetype")]
    return buddy::alloc_migratetype(token, order, migratetype(_kind));
    #[cfg(not(core_has = "alloc_migratetype"))]
    buddy::alloc(token, order)
}

fn alloc_in(
    core: &mut buddy::BuddyAllocator,
    order: u8,
    zone: ZoneType,
    _kind: zone::Migratetype,
    token: &IrqDisabledToken,
) -> Result<PhysFrame, AllocError> {
    #[cfg(core_has = "alloc_zone_migratetype")]
    return core.alloc_zone_migratetype(order, zone, migratetype(_kind), token);
    #[cfg(not(core_has = "alloc_zone_migratetype"))]
    core.alloc_zone(order, zone, token)
}

#[cfg(core_has = "alloc_migratetype")]
fn migratetype(kind: zone::Migratetype) -> crate::memory::zone::Migratetype {
    use crate::memory::zone::Migratetype;
    match kind {
        zone::Migratetype::Unmovable => Migratetype::Unmovable,
        zone::Migratetype::Movable => Migratetype::Movable,
    }
}
