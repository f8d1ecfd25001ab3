//! A frame module with the interface of an earlier time: no guard, generation, vtable, auxiliary word; `buddy::alloc`,
//! `BootAllocator::alloc`. It keeps the clauses that there were.

use crate::memory::{boot_alloc::BootAllocator, buddy, phys_to_virt};
use crate::sync::IrqDisabledToken;
use core::ptr;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{fence, AtomicU32, AtomicU64, AtomicU8};
use x86_64::PhysAddr;

pub const PAGE_SIZE: u64 = 4096;
pub const FRAME_META_SIZE: usize = 64;
pub const FRAME_META_ALIGN: usize = 64;
pub const FRAME_META_LINK_NONE: u64 = u64::MAX;
pub const REFCOUNT_UNUSED: u32 = u32::MAX;

pub mod frame_flags {
    pub const COW: u32 = 1 << 0;
    pub const DLL: u32 = 1 << 1;
    pub const ANONYMOUS: u32 = 1 << 2;
    // What a frame is used for.
    pub const FREE: u32 = 0x200;
    pub const ALLOCATED: u32 = 0x100;
    pub const USER: u32 = 0x800;
    pub const KERNEL: u32 = 0x400;
    pub const POISONED: u32 = 0x1000;
}

#[repr(C, align(64))]
pub struct FrameMeta {
    next: AtomicU64,
    prev: AtomicU64,
    pub(crate) refcount: AtomicU32,
    pub(crate) flags: AtomicU32,
    order: AtomicU8,
    _reserved: [u8; 39],
}

impl FrameMeta {
    pub const fn new() -> Self {
        Self {
            next: AtomicU64::new(FRAME_META_LINK_NONE),
            prev: AtomicU64::new(FRAME_META_LINK_NONE),
            refcount: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            order: AtomicU8::new(0),
            _reserved: [0; 39],
        }
    }

    pub fn next(&self) -> u64 {
        self.next.load(Acquire)
    }

    pub fn set_next(&self, next: u64) {
        self.next.store(next, Release)
    }

    pub fn prev(&self) -> u64 {
        self.prev.load(Acquire)
    }

    pub fn set_prev(&self, prev: u64) {
        self.prev.store(prev, Release)
    }

    pub fn get_flags(&self) -> u32 {
        self.flags.load(Acquire)
    }

    pub fn set_flags(&self, flags: u32) {
        self.flags.store(flags, Release)
    }

    pub fn get_order(&self) -> u8 {
        self.order.load(Acquire)
    }

    pub fn set_order(&self, order: u8) {
        self.order.store(order, Release)
    }

    pub fn get_refcount(&self) -> u32 {
        self.refcount.load(Acquire)
    }

    pub fn set_refcount(&self, count: u32) {
        self.refcount.store(count, Release)
    }

    pub fn reset_refcount(&self) {
        self.set_refcount(0)
    }

    pub fn inc_ref(&self) {
        let step = |count: u32| (1..REFCOUNT_UNUSED - 1).contains(&count).then(|| count + 1);
        if let Err(found) = self.refcount.fetch_update(Relaxed, Relaxed, step) {
            panic!("inc_ref on {found:#x}")
        }
    }

    pub fn dec_ref(&self) -> u32 {
        let step = |count: u32| (1..REFCOUNT_UNUSED).contains(&count).then(|| count - 1);
        match self.refcount.fetch_update(Release, Relaxed, step) {
            Ok(1) => {
                fence(Acquire);
                1
            }
            Ok(before) => before,
            Err(found) => panic!("dec_ref on {found:#x}"),
        }
    }

    pub fn cas_refcount(&self, expect: u32, new: u32) -> Result<u32, u32> {
        self.refcount.compare_exchange(expect, new, AcqRel, Acquire)
    }

    pub fn is_cow(&self) -> bool {
        self.get_flags() & frame_flags::COW != 0
    }

    pub fn is_dll(&self) -> bool {
        self.get_flags() & frame_flags::DLL != 0
    }
}

static BASE: AtomicU64 = AtomicU64::new(0);
static COUNT: AtomicU64 = AtomicU64::new(0);

pub const fn metadata_size_for(ram: u64) -> u64 {
    ram.div_ceil(PAGE_SIZE) * FRAME_META_SIZE as u64
}

pub fn init_metadata_array(total_ram: u64, boot: &mut BootAllocator) {
    let frames = total_ram.div_ceil(PAGE_SIZE);
    if frames == 0 {
        COUNT.store(0, Release);
        BASE.store(0, Release);
        return;
    }
    let paddr = boot.alloc(metadata_size_for(total_ram) as usize, FRAME_META_ALIGN);
    let base = phys_to_virt(paddr.as_u64());
    for index in 0..frames {
        // SAFETY: the reservation has room for `frames` slots, and nobody else knows it yet.
        unsafe { (base as *mut FrameMeta).add(index as usize).write(FrameMeta::new()) }
    }
    COUNT.store(frames, Release);
    BASE.store(base, Release);
}

pub fn get_meta(paddr: PhysAddr) -> &'static FrameMeta {
    let base = BASE.load(Acquire);
    assert!(base != 0, "frame metadata: not initialized");
    let (pfn, count) = (paddr.as_u64() / PAGE_SIZE, COUNT.load(Acquire));
    assert!(pfn < count, "frame metadata: {paddr:?} is out of bounds");
    // SAFETY: the table has `count` slots, all of them initialized before the base was published.
    unsafe { &*(base as *const FrameMeta).add(pfn as usize) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramePurpose {
    PageTable,
    KernelData,
    UserData,
    Custom(u32),
}

impl FramePurpose {
    pub fn requires_zero(self) -> bool {
        self == Self::PageTable
    }

    fn flags(self) -> u32 {
        frame_flags::ALLOCATED
            | match self {
                Self::PageTable | Self::KernelData => frame_flags::KERNEL,
                Self::UserData => frame_flags::USER,
                Self::Custom(flags) => flags,
            }
    }
}

pub struct FrameAllocOptions {
    zeroed: bool,
    purpose: FramePurpose,
}

impl Default for FrameAllocOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameAllocOptions {
    pub fn new() -> Self {
        Self { zeroed: true, purpose: FramePurpose::KernelData }
    }

    pub fn zeroed(self, zeroed: bool) -> Self {
        Self { zeroed, ..self }
    }

    pub fn purpose(self, purpose: FramePurpose) -> Self {
        Self { purpose, ..self }
    }

    pub fn allocate(self, token: &IrqDisabledToken) -> Result<PhysFrame, AllocError> {
        let frame = buddy::alloc(token, 0)?;
        let slot = get_meta(frame.start_address);
        if let Err(found) = slot.cas_refcount(REFCOUNT_UNUSED, 0) {
            panic!("frame {:#x}: count {found:#x}, expected REFCOUNT_UNUSED", frame.start_address.as_u64())
        }
        if self.zeroed || self.purpose.requires_zero() {
            let payload = phys_to_virt(frame.start_address.as_u64()) as *mut u8;
            // SAFETY: the claim made the frame ours alone; the HHDM maps it.
            unsafe { ptr::write_bytes(payload, 0, PAGE_SIZE as usize) }
        }
        slot.set_flags(self.purpose.flags());
        slot.set_order(0);
        slot.set_refcount(1);
        Ok(frame)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhysFrame {
    pub start_address: PhysAddr,
}

impl PhysFrame {
    pub fn containing_address(address: PhysAddr) -> Self {
        Self { start_address: address.align_down(PAGE_SIZE) }
    }

    pub fn from_start_address(start_address: PhysAddr) -> Result<Self, ()> {
        if start_address.is_aligned(PAGE_SIZE) {
            Ok(Self { start_address })
        } else {
            Err(())
        }
    }

    pub fn range_inclusive(start: Self, end: Self) -> FrameRangeInclusive {
        FrameRangeInclusive { next: start.start_address.as_u64(), end: end.start_address.as_u64() }
    }
}

pub struct FrameRangeInclusive {
    next: u64,
    end: u64,
}

impl Iterator for FrameRangeInclusive {
    type Item = PhysFrame;

    fn next(&mut self) -> Option<PhysFrame> {
        if self.next > self.end {
            return None;
        }
        let start_address = PhysAddr::new(self.next);
        self.next += PAGE_SIZE;
        Some(PhysFrame { start_address })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocError {
    OutOfMemory,
    InvalidOrder,
    // Of `free` alone.
    InvalidAddress,
}

/// What the older versions hand out frames through.
pub trait FrameAllocator {
    fn free(&mut self, frame: PhysFrame, order: u8, token: &IrqDisabledToken);

    fn alloc(&mut self, order: u8, token: &IrqDisabledToken) -> Result<PhysFrame, AllocError>;

    fn alloc_frame(&mut self, token: &IrqDisabledToken) -> Result<PhysFrame, AllocError> {
        self.alloc(0, token)
    }
}
