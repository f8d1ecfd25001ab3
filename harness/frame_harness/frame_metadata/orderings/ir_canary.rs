//! A frame module just large enough to show that the checker sees: sound as it is, broken under `cfg(weak)`.

use super::{boot_alloc::BootAllocator, buddy, phys_to_virt, zone::Migratetype};
use crate::sync::IrqDisabledToken;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use x86_64::PhysAddr;

const WEAK: bool = cfg!(weak);
const LOOK: Ordering = if WEAK { Ordering::Relaxed } else { Ordering::Acquire };

#[repr(C)]
pub struct MetaSlot {
    links: [u64; 2],
    pub vtable: AtomicU64,
    pub flags: AtomicU32,
    pub order: AtomicU32,
    pub refcount: AtomicU32,
    pub generation: AtomicU32,
    pub guard: AtomicU32,
    rest: [u32; 5],
}

impl MetaSlot {
    #[inline]
    pub fn get_refcount(&self) -> u32 {
        self.refcount.load(LOOK)
    }

    #[inline]
    pub fn dec_ref(&self) -> u32 {
        let before = self.refcount.fetch_sub(1, Ordering::Release);
        if before == 1 && !WEAK {
            fence(Ordering::Acquire);
        }
        before
    }
}

static BASE: AtomicU64 = AtomicU64::new(0);
static COUNT: AtomicU64 = AtomicU64::new(0);

pub fn init_metadata_array(total_ram: u64, boot_alloc: &mut BootAllocator) {
    let count = total_ram / 4096;
    let Some(paddr) = boot_alloc.try_alloc_accessible(count as usize * 64, 64) else { return };
    if WEAK {
        BASE.store(phys_to_virt(paddr.as_u64()), Ordering::Release);
    }
    COUNT.store(count, Ordering::Release);
    if !WEAK {
        BASE.store(phys_to_virt(paddr.as_u64()), Ordering::Release);
    }
}

pub fn get_meta_slot(phys: PhysAddr) -> &'static MetaSlot {
    let base = BASE.load(Ordering::Acquire);
    assert!(phys.as_u64() / 4096 < COUNT.load(Ordering::Acquire));
    // SAFETY: never linked, never run.
    unsafe { &*((base + phys.as_u64() / 64) as *const MetaSlot) }
}

pub struct FrameAllocOptions {
    pub zeroed: bool,
}

impl FrameAllocOptions {
    pub fn allocate(self, token: &IrqDisabledToken) -> Result<PhysFrame, AllocError> {
        let frame = buddy::alloc_migratetype(token, 0, Migratetype::Movable)?;
        let slot = get_meta_slot(frame.start_address);
        let payload = phys_to_virt(frame.start_address.as_u64()) as *mut u8;
        if self.zeroed {
            // SAFETY: never linked, never run.
            unsafe { payload.write_bytes(0, 4096) };
        }
        if !WEAK {
            slot.flags.store(1, Ordering::Release);
        }
        slot.order.store(0, Ordering::Release);
        let claim = slot.refcount.compare_exchange(u32::MAX, 0, Ordering::AcqRel, Ordering::Acquire);
        claim.expect("a free frame");
        if WEAK {
            slot.flags.store(1, Ordering::Release);
        }
        slot.vtable.store(0, Ordering::Release);
        slot.guard.store(0, Ordering::Release);
        slot.generation.fetch_add(1, Ordering::Release);
        slot.refcount.store(1, if WEAK { Ordering::Relaxed } else { Ordering::Release });
        Ok(frame)
    }
}

#[derive(Clone, Copy)]
pub struct PhysFrame {
    pub start_address: PhysAddr,
}

pub enum AllocError {
    OutOfMemory,
    InvalidOrder,
    InvalidAddress,
}
