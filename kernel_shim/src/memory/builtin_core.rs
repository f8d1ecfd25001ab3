//! The built-in allocators with the frame module, as a memory core.

use super::{boot_alloc, buddy, slot_table};
use crate::boot::region::{self, MemoryKind};
use crate::frame_module::{self, address};
use crate::memory_core::{CoreError, Layout, MemoryCore, Totals, Wanted};
use crate::sync::{noise, with_irqs_disabled};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering::Release};
use shim_parts::buddy::state::ZoneState;
use shim_parts::frame_ranges::FrameRanges;
use shim_parts::usable::usable_frames;
use shim_parts::zone::MAX_ORDER;
use shim_parts::{pfn_to_paddr, PAGE_SIZE};

pub struct BuiltinCore;

/// Where the host finds what the core remembers, as addresses of values whose types it knows from debug information. 0
/// before the start. Release: the host reads them once the request for the start is answered.
#[repr(C)]
struct Places {
    state: AtomicU64,
    taken: AtomicU64,
}

#[unsafe(no_mangle)]
static CORE_PLACES: Places = Places { state: AtomicU64::new(0), taken: AtomicU64::new(0) };

impl MemoryCore for BuiltinCore {
    const OFFERS: &'static [(&'static str, bool)] = &[
        ("protected", true),
        ("kinds", true),
        ("poison", frame_module::HAS_POISON),
        ("tables", frame_module::HAS_OPTIONS),
        ("slots", frame_module::HAS_SLOTS),
        ("ownership", false),
        ("hhdm", true),
    ];

    fn start(hhdm_end: u64) {
        noise::end(); // a panic may have left it on
        assert!(
            !buddy::with(|buddy| buddy.strict || buddy.is_populated()),
            "the core runs already: boot with init=none"
        );
        let usable = given_frames();
        let end = usable.iter().next_back().map_or(0, |range| range.end);
        assert!(end > 0, "memory map: expected usable memory, got none");
        let border = hhdm_end / PAGE_SIZE;
        boot_alloc::init(below(&usable, border));
        slot_table::init(end * PAGE_SIZE);
        let mut frames = boot_alloc::lock().frames.hand_over();
        usable.iter().for_each(|range| frames.push(range.start.max(border)..range.end));
        buddy::with(|buddy| {
            buddy.strict = true;
            buddy.populate(frames, &usable, end);
        });
        CORE_PLACES.taken.store(ptr::from_ref(boot_alloc::lock().frames.taken()).expose_provenance() as u64, Release);
        CORE_PLACES.state.store(buddy::state_address(), Release);
    }

    fn allocate(wanted: &Wanted) -> Result<u64, CoreError> {
        let (order, kind) = (wanted.order, wanted.kind);
        let Some(zone) = wanted.zone else {
            return address(with_irqs_disabled(|token| buddy::alloc_migratetype(token, order, kind)));
        };
        if order as usize > MAX_ORDER {
            return Err(CoreError::InvalidOrder);
        }
        let found = buddy::with(|buddy| buddy.alloc_in(zone, order, kind));
        found.map(pfn_to_paddr).ok_or(CoreError::OutOfMemory)
    }

    fn totals() -> Option<Totals> {
        buddy::with(|buddy| {
            let sum = |count: fn(&ZoneState) -> u64| buddy.state.zones.iter().map(count).sum();
            buddy.strict.then(|| Totals {
                managed: sum(|zone| zone.managed - zone.reserved),
                allocated: sum(|zone| zone.allocated),
            })
        })
    }

    fn layout() -> Layout {
        let (managed, allocated) = (offset_of!(ZoneState, managed), offset_of!(ZoneState, allocated));
        let offsets = [("managed", managed), ("allocated", allocated)];
        Layout { of: "state::ZoneState", bytes: size_of::<ZoneState>(), offsets }
    }
}

/// The frames that the host's map lets a core use.
fn given_frames() -> FrameRanges {
    let of_kind = |usable: bool| {
        region::regions()
            .iter()
            .filter(move |region| match region.kind {
                MemoryKind::Free | MemoryKind::Reclaim => usable,
                MemoryKind::Null => false,
                _ => !usable,
            })
            .map(|region| (region.base, region.size))
    };
    let protected = (0..region::MAX_PROTECTED).filter_map(region::protected);
    usable_frames(|| of_kind(true), of_kind(false).chain(protected))
}

/// The frames below `border`.
fn below(frames: &FrameRanges, border: u64) -> FrameRanges {
    let mut below = frames.clone();
    below.remove(&(border..u64::MAX));
    below
}
