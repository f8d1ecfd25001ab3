//! The built-in frame module: per-frame metadata, the claim that turns a free frame into a live one.
//!
//! Every 4 KiB frame of physical memory owns one 64-byte [`MetaSlot`] in a table that lies apart from the
//! frames, so that a frame's payload belongs to its holder alone. This file is what the harness judges
//! when it is given no other `frame.rs`; it keeps every clause of the contract, on any number of CPUs.
//!
//! # The life of a frame, as its reference count tells it
//!
//! ```text
//!   REFCOUNT_UNUSED ──claim (CAS)──► 0 ──epoch begun──► 1 ◄──inc/dec──► n
//!        ▲                            │ poisoned meanwhile        │
//!        └────────── buddy ◄──────────┴──────────────── released ─┘
//! ```
//!
//! `REFCOUNT_UNUSED` belongs to the buddy, `0` to nobody (a life that is being set up or torn down) and
//! everything from `1` on to the holders. The store of `1` is the publication: it comes last, with
//! `Release`, so whoever reads `1` with `Acquire` finds the payload, flags, order, vtable, guard and
//! generation of the new life and nothing of the old one.

use crate::memory::{boot_alloc::BootAllocator, buddy, phys_to_virt, zone::Migratetype};
use crate::sync::IrqDisabledToken;
use core::mem::{align_of, offset_of, size_of};
use core::ptr;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{self, fence};
use x86_64::PhysAddr;

/// Bytes in a frame.
pub const PAGE_SIZE: u64 = 1 << 12;
/// Bytes from one slot of the table to the next.
pub const FRAME_META_SIZE: usize = 64;
/// Alignment of the slot table: a slot never straddles two cache lines.
pub const FRAME_META_ALIGN: usize = FRAME_META_SIZE;
/// A link that leads nowhere. Zero would not do: it is the address of frame 0.
pub const FRAME_META_LINK_NONE: u64 = u64::MAX;
/// The count of a frame that the buddy owns. No sequence of [`MetaSlot::inc_ref`] and
/// [`MetaSlot::dec_ref`] leads onto it or off it.
pub const REFCOUNT_UNUSED: u32 = u32::MAX;

/// The count while a life begins: no longer the buddy's, not yet anybody's. It is the value that a
/// dropped last reference leaves behind, so no reader takes it for live.
const REFCOUNT_NOBODY: u32 = 0;

/// Bits of [`MetaSlot::guard`], which the kernel sets on a frame whatever the frame is used for.
pub mod meta_guard {
    /// No restriction.
    pub const NONE: u32 = 0;
    /// Must never be mapped for user space.
    pub const KERNEL_ONLY: u32 = 1;
    /// Found corrupt: must never be used again.
    pub const POISONED: u32 = 1 << 31;
}

/// Bits of [`MetaSlot::flags`], which say what the frame is used for.
pub mod frame_flags {
    /// Copied when first written to.
    pub const COW: u32 = 1;
    /// Shared library text, written through to all users.
    pub const DLL: u32 = 1 << 1;
    /// Backed by no file.
    pub const ANONYMOUS: u32 = 1 << 2;
    /// Somebody's.
    pub const ALLOCATED: u32 = 1 << 8;
    /// On a free list or in a CPU's cache.
    pub const FREE: u32 = 1 << 9;
    /// The logical twin of [`super::meta_guard::POISONED`]; [`super::MetaSlot::mark_poisoned`] sets both.
    pub const POISONED: u32 = 1 << 12;
    /// In use by the kernel.
    pub const KERNEL: u32 = 1 << 10;
    /// In use by a process.
    pub const USER: u32 = 1 << 11;
    /// The content may move to another frame.
    pub const MOVABLE: u32 = 1 << 13;
}

// ---- What a slot is made of ---------------------------------------------------------------------------

/// The links of a free block's head, physical addresses of other heads.
#[repr(C)]
pub struct FreeListLink {
    pub(crate) next: atomic::AtomicU64,
    pub(crate) prev: atomic::AtomicU64,
}

impl FreeListLink {
    /// Links of a slot that is on no list.
    pub const fn new() -> Self {
        Self {
            next: atomic::AtomicU64::new(FRAME_META_LINK_NONE),
            prev: atomic::AtomicU64::new(FRAME_META_LINK_NONE),
        }
    }
}

/// Called with the physical address of the frame that it is about.
type FrameHook = fn(PhysAddr);

/// What the owner of a frame wants to be told; registered by address in [`MetaSlot::vtable`].
///
/// Both hooks run with interrupts disabled, on the CPU that releases the block, before the buddy sees it.
/// They must not allocate, lock or panic.
#[repr(C)]
pub struct FrameMetaVtable {
    /// Once for a released block, with the address of its first frame.
    pub on_last_ref: Option<FrameHook>,
    /// Once for every frame of a released block, in address order, poisoned or not.
    pub on_unmap: Option<FrameHook>,
    /// Room for further hooks; keeps the size.
    pub reserved: [u64; 6],
}

/// The vtable of every frame for which none is registered.
pub static DEFAULT_FRAME_META_VTABLE: FrameMetaVtable =
    FrameMetaVtable { on_last_ref: None, on_unmap: None, reserved: [0; 6] };

/// One frame's metadata.
///
/// No `align(64)`: the table's own alignment places the slots, and an aligned type could silently double
/// in size the day a field is added.
#[repr(C)]
pub struct MetaSlot {
    /// Links of the free block that starts here.
    pub free_link: FreeListLink,
    /// Address of a `'static` [`FrameMetaVtable`], or 0.
    pub vtable: atomic::AtomicU64,
    /// [`frame_flags`].
    pub flags: atomic::AtomicU32,
    /// Order of the block that the frame is part of.
    pub order: atomic::AtomicU8,
    _reserved0: [u8; 3],
    /// Holders, or [`REFCOUNT_UNUSED`].
    pub refcount: atomic::AtomicU32,
    /// Which life of the frame this is; wraps.
    pub generation: atomic::AtomicU32,
    /// [`meta_guard`].
    pub guard: atomic::AtomicU32,
    /// A hint: the CPU that owns the frame, in the low 16 bits.
    pub meta_aux: atomic::AtomicU32,
    /// Room for later; zero.
    pub _reserved_tail: [u8; 16],
}

/// Another name of [`MetaSlot`].
pub type FrameMeta = MetaSlot;

/// Where a slot keeps its reference count, for code that cannot name the field.
pub const META_SLOT_REFCOUNT_BYTE_OFFSET: usize = offset_of!(MetaSlot, refcount);

const _: () = assert!(META_SLOT_REFCOUNT_BYTE_OFFSET == 32, "the count moved");
const _: () = assert!(size_of::<MetaSlot>() == FRAME_META_SIZE && align_of::<MetaSlot>() == 8);
const _: () = assert!(size_of::<FreeListLink>() == 16);
const _: () = assert!(size_of::<FrameMetaVtable>() == FRAME_META_SIZE);

// Where every field lies, in bytes: one that moves does not compile.
const _: () = assert!(offset_of!(MetaSlot, free_link) == 0);
const _: () = assert!(offset_of!(MetaSlot, vtable) == 16);
const _: () = assert!(offset_of!(MetaSlot, flags) == 24);
const _: () = assert!(offset_of!(MetaSlot, order) == 28);
const _: () = assert!(offset_of!(MetaSlot, _reserved0) == 29);
const _: () = assert!(offset_of!(MetaSlot, refcount) == 32);
const _: () = assert!(offset_of!(MetaSlot, generation) == 36);
const _: () = assert!(offset_of!(MetaSlot, guard) == 40);
const _: () = assert!(offset_of!(MetaSlot, meta_aux) == 44);
const _: () = assert!(offset_of!(MetaSlot, _reserved_tail) == 48);
const _: () = assert!(offset_of!(FreeListLink, next) == 0);
const _: () = assert!(offset_of!(FreeListLink, prev) == 8);
const _: () = assert!(offset_of!(FrameMetaVtable, on_last_ref) == 0);
const _: () = assert!(offset_of!(FrameMetaVtable, on_unmap) == 8);
const _: () = assert!(offset_of!(FrameMetaVtable, reserved) == 16);

impl MetaSlot {
    /// [`META_SLOT_REFCOUNT_BYTE_OFFSET`].
    pub const REFCOUNT_BYTE_OFFSET: usize = META_SLOT_REFCOUNT_BYTE_OFFSET;

    /// A slot that nobody has touched: on no list, zero everywhere else.
    ///
    /// The count is 0 rather than the sentinel, so a frame that the buddy was never given cannot be claimed.
    pub const fn new() -> Self {
        Self {
            free_link: FreeListLink::new(),
            vtable: atomic::AtomicU64::new(0),
            flags: atomic::AtomicU32::new(0),
            order: atomic::AtomicU8::new(0),
            _reserved0: [0; 3],
            refcount: atomic::AtomicU32::new(REFCOUNT_NOBODY),
            generation: atomic::AtomicU32::new(0),
            guard: atomic::AtomicU32::new(meta_guard::NONE),
            meta_aux: atomic::AtomicU32::new(0),
            _reserved_tail: [0; 16],
        }
    }

    // ---- Links: written under the buddy's lock. Release pairs with the Acquire loads in `next` and
    // ---- `prev`, for a reader that follows a list without the lock.

    /// Head of the next free block, or [`FRAME_META_LINK_NONE`].
    #[inline]
    pub fn next(&self) -> u64 {
        self.free_link.next.load(Acquire)
    }

    /// Stores any value: the list is the buddy's business.
    #[inline]
    pub fn set_next(&self, next: u64) {
        self.free_link.next.store(next, Release)
    }

    /// Head of the free block before this one, or [`FRAME_META_LINK_NONE`].
    #[inline]
    pub fn prev(&self) -> u64 {
        self.free_link.prev.load(Acquire)
    }

    /// Stores any value: the list is the buddy's business.
    #[inline]
    pub fn set_prev(&self, prev: u64) {
        self.free_link.prev.store(prev, Release)
    }

    // ---- Flags, order and hint

    /// Acquire: pairs with `set_flags`, `mark_poisoned` and the claim's store.
    #[inline]
    pub fn get_flags(&self) -> u32 {
        self.flags.load(Acquire)
    }

    /// Replaces all flags. Release: pairs with `get_flags`.
    #[inline]
    pub fn set_flags(&self, flags: u32) {
        self.flags.store(flags, Release)
    }

    /// Acquire: pairs with `set_order`.
    #[inline]
    pub fn get_order(&self) -> u8 {
        self.order.load(Acquire)
    }

    /// Release: pairs with `get_order`.
    #[inline]
    pub fn set_order(&self, order: u8) {
        self.order.store(order, Release)
    }

    /// Whether the content is copied when first written to.
    #[inline]
    pub fn is_cow(&self) -> bool {
        self.has_flag(frame_flags::COW)
    }

    /// Whether the frame is a shared library's.
    #[inline]
    pub fn is_dll(&self) -> bool {
        self.has_flag(frame_flags::DLL)
    }

    #[inline]
    fn has_flag(&self, flag: u32) -> bool {
        self.get_flags() & flag == flag
    }

    /// Relaxed: a hint that orders nothing.
    #[inline]
    pub fn meta_aux_load(&self) -> u32 {
        self.meta_aux.load(Relaxed)
    }

    /// Relaxed: a hint that orders nothing.
    #[inline]
    pub fn meta_aux_store(&self, v: u32) {
        self.meta_aux.store(v, Relaxed)
    }

    // ---- Reference count

    /// Acquire: a reader of 1 sees the whole life that the Release store in `allocate` published.
    #[inline]
    pub fn get_refcount(&self) -> u32 {
        self.refcount.load(Acquire)
    }

    /// Stores any value, the sentinel too. Release: pairs with `get_refcount` and `cas_refcount`.
    #[inline]
    pub fn set_refcount(&self, count: u32) {
        self.refcount.store(count, Release)
    }

    /// Leaves the frame to nobody.
    #[inline]
    pub fn reset_refcount(&self) {
        self.set_refcount(REFCOUNT_NOBODY)
    }

    /// `Ok(expect)` when `new` was stored, else what was found. AcqRel on success, Acquire on failure:
    /// either way the caller has seen what the Release store of the found value ordered before it.
    #[inline]
    pub fn cas_refcount(&self, expect: u32, new: u32) -> Result<u32, u32> {
        self.refcount.compare_exchange(expect, new, AcqRel, Acquire)
    }

    /// Takes one more reference.
    ///
    /// Relaxed: whoever takes a reference holds one already, so the frame's content is visible to him.
    ///
    /// # Panics
    /// On a free frame, and when the count would become the free sentinel. The count is left as found.
    #[inline]
    pub fn inc_ref(&self) {
        let step = |count: u32| (count < REFCOUNT_UNUSED - 1).then(|| count + 1);
        if let Err(found) = self.refcount.fetch_update(Relaxed, Relaxed, step) {
            refuse_reference("inc_ref", found)
        }
    }

    /// Gives one reference back; returns the count before, so 1 means that the last one went.
    ///
    /// Release: what this holder did to the frame happens before its next use. Pairs with the Acquire fence
    /// below, in the call that finds 1: the releasing CPU sees what *every* earlier holder did.
    ///
    /// # Panics
    /// On a free frame, and when no reference is left to give back. The count is left as found.
    #[inline]
    pub fn dec_ref(&self) -> u32 {
        let step = |count: u32| match count {
            REFCOUNT_NOBODY | REFCOUNT_UNUSED => None,
            held => Some(held - 1),
        };
        match self.refcount.fetch_update(Release, Relaxed, step) {
            Ok(1) => {
                fence(Acquire);
                1
            }
            Ok(before) => before,
            Err(found) => refuse_reference("dec_ref", found),
        }
    }

    // ---- Generation

    /// Acquire: pairs with the bump in `advance_generation` and with `set_generation`.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.generation.load(Acquire)
    }

    /// For boot and tests: a value of one's own choice makes a stale holder look current. Release: pairs
    /// with `generation`.
    #[inline]
    pub fn set_generation(&self, g: u32) {
        self.generation.store(g, Release)
    }

    /// Wraps after u32::MAX, by definition of `fetch_add`. Release: pairs with `generation`.
    #[inline]
    fn advance_generation(&self) {
        self.generation.fetch_add(1, Release);
    }

    /// Starts a new life on a frame that is already claimed: default vtable, no guard, next generation.
    #[inline]
    pub fn note_new_allocation_epoch(&self) {
        self.set_vtable_bits(0);
        self.set_guard(meta_guard::NONE);
        self.advance_generation();
    }

    /// Like [`Self::note_new_allocation_epoch`], but a poisoned frame gets no new life.
    ///
    /// AcqRel: Release for the reader of the new guard (`get_guard`), Acquire for what the poisoner saw. One
    /// atomic step clears the other bits and tells about the poison, so a mark that another CPU sets while
    /// the frame is being claimed is never wiped out.
    #[inline]
    fn begin_epoch_unless_poisoned(&self) -> bool {
        self.set_vtable_bits(0);
        let found = self.guard.fetch_and(meta_guard::POISONED, AcqRel);
        if found & meta_guard::POISONED != 0 {
            return false;
        }
        self.advance_generation();
        true
    }

    /// What the buddy does to each slot of a block that comes home: default vtable, and of the guard only
    /// the poison stays. One atomic step, so that it cannot lose a mark set at the same moment; its Release
    /// half pairs with `get_guard`.
    #[inline]
    pub fn reset_with_free_list_meta(&self) {
        self.set_vtable_bits(0);
        self.guard.fetch_and(meta_guard::POISONED, AcqRel);
    }

    // ---- Guard

    /// Acquire: pairs with `set_guard`, `fetch_or_guard` and the two atomic clears above.
    #[inline]
    pub fn get_guard(&self) -> u32 {
        self.guard.load(Acquire)
    }

    /// Replaces all guard bits. Release: pairs with `get_guard`.
    #[inline]
    pub fn set_guard(&self, bits: u32) {
        self.guard.store(bits, Release)
    }

    /// Adds guard bits, returns those from before. AcqRel: Release for `get_guard`, Acquire because the
    /// caller acts on what it is told was there already.
    #[inline]
    pub fn fetch_or_guard(&self, bits: u32) -> u32 {
        self.guard.fetch_or(bits, AcqRel)
    }

    /// Whether the guard says poisoned; the flags are not asked.
    #[inline]
    pub fn is_guard_poisoned(&self) -> bool {
        self.get_guard() & meta_guard::POISONED == meta_guard::POISONED
    }

    /// Sets the poison bit of the guard, then that of the flags.
    ///
    /// Both by an atomic or: bits that other CPUs set at the same moment stay. AcqRel on the flags: Release
    /// pairs with `get_flags`, Acquire keeps the bits' history in order with the writer before.
    #[inline]
    pub fn mark_poisoned(&self) {
        self.fetch_or_guard(meta_guard::POISONED);
        self.flags.fetch_or(frame_flags::POISONED, AcqRel);
    }

    // ---- Vtable

    /// The registered address as it stands. Acquire: pairs with `set_vtable_bits`, so the vtable behind the
    /// address is complete.
    #[inline]
    pub fn vtable_bits(&self) -> u64 {
        self.vtable.load(Acquire)
    }

    /// Registers the address of a `'static` [`FrameMetaVtable`]; 0 takes it back. Release: pairs with
    /// `vtable_bits`.
    #[inline]
    pub fn set_vtable_bits(&self, bits: u64) {
        self.vtable.store(bits, Release)
    }

    /// The vtable to use: the registered one when its address can be one, else the default.
    pub fn vtable_ref(&self) -> &'static FrameMetaVtable {
        match self.try_vtable_ref() {
            Some(vtable) => vtable,
            None => &DEFAULT_FRAME_META_VTABLE,
        }
    }

    /// The registered vtable, the default when none is, `None` when the address is misaligned. Corrupt
    /// metadata is for the caller to deal with, in every build profile, so nothing here panics.
    pub fn try_vtable_ref(&self) -> Option<&'static FrameMetaVtable> {
        let vtable = ptr::with_exposed_provenance::<FrameMetaVtable>(self.vtable_bits() as usize);
        if vtable.is_null() {
            return Some(&DEFAULT_FRAME_META_VTABLE);
        }
        if !vtable.is_aligned() {
            return None;
        }
        // SAFETY: not null and aligned, both checked. Whoever calls `set_vtable_bits` with another value than
        // 0 promises that it is the address of a `'static` vtable, and his Release store pairs with the
        // Acquire load in `vtable_bits`, so its fields are initialized. Nobody ever writes to one.
        Some(unsafe { &*vtable })
    }

    /// (generation, guard, vtable bits), for diagnostics.
    #[inline]
    pub fn debug_snapshot(&self) -> (u32, u32, u64) {
        let (vtable, guard) = (self.vtable_bits(), self.get_guard());
        (self.generation(), guard, vtable)
    }
}

/// Out of line, so that a reference costs its caller one compare.
#[cold]
#[inline(never)]
fn refuse_reference(operation: &str, found: u32) -> ! {
    panic!("frame reference count: {operation} on {found:#x}: not held, or the next count is the sentinel")
}

// ---- The slot table -------------------------------------------------------------------------------------

/// Virtual address of slot 0; 0 until the table is complete.
static METADATA_BASE_VIRT: atomic::AtomicU64 = atomic::AtomicU64::new(0);
/// Slots in the table.
static METADATA_FRAME_COUNT: atomic::AtomicU64 = atomic::AtomicU64::new(0);

/// Bytes of slot table for `ram_size` bytes of physical address space; a partial last frame counts.
pub const fn metadata_size_for(ram_size: u64) -> u64 {
    frames_covering(ram_size) * FRAME_META_SIZE as u64
}

const fn frames_covering(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_SIZE)
}

/// Reserves and fills the slot table for physical addresses below `total_ram`.
///
/// # Panics
/// When the boot allocator has no room for it, or hands out room at the wrong alignment.
pub fn init_metadata_array(total_ram: u64, boot_alloc: &mut BootAllocator) {
    let frames = frames_covering(total_ram);
    if frames == 0 {
        // Withdrawn in the opposite order of publication, with Release for the loads in `get_meta_slot`.
        METADATA_BASE_VIRT.store(0, Release);
        METADATA_FRAME_COUNT.store(0, Release);
        return;
    }
    let bytes = metadata_size_for(total_ram);
    let Some(paddr) = boot_alloc.try_alloc_accessible(bytes as usize, FRAME_META_ALIGN) else {
        panic!(
            "frame metadata array: the boot allocator has no {bytes} bytes at alignment {FRAME_META_ALIGN} \
             for the slots of {frames} frames"
        )
    };
    assert!(
        paddr.is_aligned(FRAME_META_ALIGN as u64),
        "frame metadata array: the boot allocator gave {paddr:#x}, expected alignment {FRAME_META_ALIGN}"
    );
    let base = phys_to_virt(paddr.as_u64());
    let table = ptr::with_exposed_provenance_mut::<MetaSlot>(base as usize);
    // SAFETY: the table is aligned to 64, checked above. The boot allocator gave these `frames * 64` bytes to
    // us alone, below the top of the HHDM ("accessible"), so they are mapped and writable. There is at least
    // one frame: 0 of them returned above.
    unsafe { fill_table(table, frames as usize) };
    // Release: both pair with the Acquire loads in `get_meta_slot`. The count goes first, so whoever sees
    // the base sees the count that belongs to it.
    METADATA_FRAME_COUNT.store(frames, Release);
    METADATA_BASE_VIRT.store(base, Release);
}

/// Makes `count` new slots: writes one, doubles what there is until it is a page, then copies that page.
///
/// # Safety
/// * `table` is aligned.
/// * It leads to writable room for `count` slots, in one allocation, which nobody else looks at meanwhile.
/// * `count` is at least 1.
unsafe fn fill_table(table: *mut MetaSlot, count: usize) {
    // A longer source would fall out of the caches and, at a distance of a power of two, out of the TLB.
    const SLOTS_A_PAGE: usize = PAGE_SIZE as usize / FRAME_META_SIZE;
    // SAFETY: the first of `count` slots: aligned and writable, as the caller promises. `write` drops nothing,
    // so it does not matter what the memory held.
    unsafe { table.write(MetaSlot::new()) };
    let mut done = 1;
    while done < count {
        let step = done.min(SLOTS_A_PAGE).min(count - done);
        // SAFETY: `done < count`, so the pointer stays inside of the room, which is one allocation.
        let rest = unsafe { table.add(done) };
        // SAFETY: `step <= done`, so the source is initialized and ends before the destination begins, and
        // `done + step <= count`, so the destination lies inside. Both are aligned, as slots of the table. Nobody
        // stores to either meanwhile, so a copy of the bytes is a copy of the atomics.
        unsafe { table.copy_to_nonoverlapping(rest, step) };
        done += step;
    }
}

/// The slot of the frame that contains `phys`.
///
/// # Panics
/// Before [`init_metadata_array`], and for an address behind the last frame.
pub fn get_meta_slot(phys: PhysAddr) -> &'static MetaSlot {
    // Acquire, base before count: pairs with the stores at the end of `init_metadata_array`.
    let base = METADATA_BASE_VIRT.load(Acquire);
    let frames = METADATA_FRAME_COUNT.load(Acquire);
    assert!(base != 0, "frame metadata array: not initialized, no slot for {phys:#x}");
    let pfn = phys.as_u64() / PAGE_SIZE;
    assert!(pfn < frames, "frame metadata array: {phys:#x} is out of bounds, it covers {frames} frames");

    let table = ptr::with_exposed_provenance::<MetaSlot>(base as usize);
    // SAFETY: `base` is not 0, so `init_metadata_array` stored it after it had reserved `frames` slots, which are
    // one allocation. `pfn < frames` keeps the pointer inside of them.
    let slot = unsafe { table.add(pfn as usize) };
    // SAFETY: the slot is aligned, as the table is. The Acquire load makes the initialized slots visible. The
    // reservation is never taken back, hence 'static. It is written through atomics only, hence shared.
    unsafe { &*slot }
}

/// [`get_meta_slot`] by its short name.
#[inline]
pub fn get_meta(phys: PhysAddr) -> &'static MetaSlot {
    get_meta_slot(phys)
}

/// Whether the frame at `phys` still lives the life in which `expected` was read.
#[inline]
pub fn meta_generation_matches(phys: PhysAddr, expected: u32) -> bool {
    expected == get_meta(phys).generation()
}

/// Whether a frame of the block of `2^order` frames at `frame_phys` is poisoned. False as long as there is
/// no slot table, hence nothing that could be marked.
pub fn block_phys_has_poison_guard(frame_phys: u64, order: u8) -> bool {
    // Acquire: pairs with `init_metadata_array`.
    if METADATA_BASE_VIRT.load(Acquire) == 0 {
        return false;
    }
    (0..1_u64 << order)
        .map(|index| PhysAddr::new(frame_phys + index * PAGE_SIZE))
        .any(|paddr| get_meta(paddr).is_guard_poisoned())
}

/// Calls the `on_unmap` hook of the frame at `phys`, if there is one to call.
pub fn invoke_vtable_on_unmap(phys: PhysAddr) {
    if let Some(hook) = get_meta(phys).vtable_ref().on_unmap {
        hook(phys)
    }
}

/// Calls the `on_last_ref` hook of the frame at `phys`, if there is one to call.
pub fn invoke_vtable_on_last_ref(phys: PhysAddr) {
    if let Some(hook) = get_meta(phys).vtable_ref().on_last_ref {
        hook(phys)
    }
}

/// [`MetaSlot::debug_snapshot`] of the frame at `phys`.
#[inline]
pub fn frame_meta_debug_snapshot(phys: PhysAddr) -> (u32, u32, u64) {
    get_meta(phys).debug_snapshot()
}

// ---- Allocation -----------------------------------------------------------------------------------------

/// What a frame is allocated for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FramePurpose {
    /// A node of a page table. The CPU reads all of it, so it is zeroed whatever else is asked for.
    PageTable,
    /// Anything else of the kernel's own.
    KernelData,
    /// Memory of a process.
    UserData,
    /// These [`frame_flags`], and `ALLOCATED`.
    Custom(u32),
}

impl FramePurpose {
    /// Whether the payload must be zero for this purpose.
    pub fn requires_zero(self) -> bool {
        self == Self::PageTable
    }

    fn flags(self) -> u32 {
        frame_flags::ALLOCATED
            | match self {
                Self::PageTable | Self::KernelData => frame_flags::KERNEL,
                Self::UserData => frame_flags::USER | frame_flags::MOVABLE,
                Self::Custom(flags) => flags,
            }
    }
}

/// How to allocate one frame. The order of the builder's calls does not matter.
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
    /// A zeroed frame for kernel data.
    pub fn new() -> Self {
        Self { zeroed: true, purpose: FramePurpose::KernelData }
    }

    /// Whether the payload is zeroed; with `false` it is left as it was, and the caller must overwrite it
    /// before anybody else reads it. Has no say over a purpose that requires zero.
    pub fn zeroed(self, zeroed: bool) -> Self {
        Self { zeroed, ..self }
    }

    /// What the frame is for.
    pub fn purpose(self, p: FramePurpose) -> Self {
        Self { purpose: p, ..self }
    }

    /// Gets a frame from the buddy and makes it live, with one reference, held by the caller.
    ///
    /// A frame that the buddy offers although it is poisoned goes back to it, which quarantines it, and
    /// another one is asked for. Every such round takes a frame out of circulation for good, so there are
    /// no more rounds than frames.
    ///
    /// # Panics
    /// When the buddy offers a frame that is not free: it is on a free list twice, or was freed twice.
    /// The frame's count, flags and payload are left to its holder.
    pub fn allocate(self, token: &IrqDisabledToken) -> Result<PhysFrame, AllocError> {
        // Acquire: pairs with `init_metadata_array`.
        for _ in 0..METADATA_FRAME_COUNT.load(Acquire) {
            let frame = buddy::alloc_migratetype(token, 0, self.migratetype())?;
            if self.make_live(frame) {
                return Ok(frame);
            }
            buddy::free(token, frame, 0);
        }
        Err(AllocError::OutOfMemory)
    }

    fn migratetype(&self) -> Migratetype {
        match self.purpose.flags() & frame_flags::MOVABLE {
            0 => Migratetype::Unmovable,
            _ => Migratetype::Movable,
        }
    }

    /// False when the frame is poisoned; it is then as free as it was, and still poisoned.
    fn make_live(&self, frame: PhysFrame) -> bool {
        let slot = get_meta(frame.start_address);
        // Looked at before anything is written, so that the claim below never finds a frame whose content is
        // already spoilt. Acquire: pairs with the buddy's Release store of the sentinel.
        let found = slot.get_refcount();
        if found != REFCOUNT_UNUSED {
            refuse_claim(frame, found)
        }
        if slot.is_guard_poisoned() {
            // The buddy replaced the flags when it handed the frame out; the guard alone remembers.
            slot.mark_poisoned();
            return false;
        }
        if self.zeroed || self.purpose.requires_zero() {
            zero_payload(frame);
        }
        slot.set_flags(self.purpose.flags());
        slot.set_order(0);
        // The claim: one CPU alone gets the frame. AcqRel: Acquire as above, Release so that whoever finds
        // the frame claimed also finds what was written so far.
        if let Err(found) = slot.cas_refcount(REFCOUNT_UNUSED, REFCOUNT_NOBODY) {
            refuse_claim(frame, found)
        }
        if !slot.begin_epoch_unless_poisoned() {
            // Poisoned since the look above. The flags were replaced meanwhile, so their mark is set again.
            slot.mark_poisoned();
            slot.set_refcount(REFCOUNT_UNUSED);
            return false;
        }
        // The publication. Release: pairs with the Acquire load in `get_refcount`, wherever 1 is read.
        slot.set_refcount(1);
        true
    }
}

/// Both looks at the sentinel end here, in the same words.
#[cold]
#[inline(never)]
fn refuse_claim(frame: PhysFrame, found: u32) -> ! {
    panic!(
        "frame {:#x}: refcount is {found:#x}, expected REFCOUNT_UNUSED ({REFCOUNT_UNUSED:#x}): \
         the buddy offered a frame that is in use (double free, or corruption of its lists)",
        frame.start_address
    )
}

fn zero_payload(frame: PhysFrame) {
    let payload = ptr::with_exposed_provenance_mut::<u8>(phys_to_virt(frame.start_address.as_u64()) as usize);
    // SAFETY: the buddy handed the frame to this call alone, and its count was the free sentinel a moment
    // ago: nobody else reads or writes its 4096 bytes. The HHDM maps all RAM, writable, and the frame lies
    // within the slot table's range, as `get_meta` has checked.
    unsafe { payload.write_bytes(0, PAGE_SIZE as usize) }
}

// ---- Frames by address ----------------------------------------------------------------------------------

/// A frame of physical memory, by the address of its first byte.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PhysFrame {
    pub start_address: PhysAddr,
}

impl PhysFrame {
    /// All frames from `start` to `end`, both included; none when `start` lies behind `end`.
    pub fn range_inclusive(start: Self, end: Self) -> FrameRangeInclusive {
        FrameRangeInclusive { start, end }
    }

    /// The frame that `addr` points into.
    pub fn containing_address(addr: PhysAddr) -> Self {
        Self { start_address: addr.align_down(PAGE_SIZE) }
    }

    /// The frame that starts at `addr`; `Err` when none does.
    pub fn from_start_address(addr: PhysAddr) -> Result<Self, ()> {
        let frame = Self::containing_address(addr);
        if frame.start_address == addr { Ok(frame) } else { Err(()) }
    }

    /// The frame behind this one; `None` at the end of the physical address space.
    fn successor(self) -> Option<Self> {
        let start_address = PhysAddr::try_new(self.start_address.as_u64() + PAGE_SIZE).ok()?;
        Some(Self { start_address })
    }
}

/// The frames yet to come; none left when `start` lies behind `end`.
pub struct FrameRangeInclusive {
    pub start: PhysFrame,
    pub end: PhysFrame,
}

impl Iterator for FrameRangeInclusive {
    type Item = PhysFrame;

    fn next(&mut self) -> Option<PhysFrame> {
        let frame = self.start;
        if frame > self.end {
            return None;
        }
        match frame.successor() {
            Some(successor) => self.start = successor,
            // The last frame there is has nothing behind it to step to, so the end steps before it.
            None => self.end.start_address = frame.start_address - PAGE_SIZE,
        }
        Some(frame)
    }
}

// ---- Allocators -----------------------------------------------------------------------------------------

/// Why there is no frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AllocError {
    /// No block of that size is free.
    OutOfMemory,
    /// Larger than the largest block.
    InvalidOrder,
    /// No block of that size starts there.
    InvalidAddress,
}

/// Something that hands out blocks of `2^order` frames. The token proves that no interrupt can come in
/// between and ask the same allocator.
pub trait FrameAllocator {
    /// Takes back the block that `alloc` gave, at the same order.
    fn free(&mut self, frame: PhysFrame, order: u8, token: &IrqDisabledToken);

    /// A block of `2^order` frames.
    fn alloc(&mut self, order: u8, token: &IrqDisabledToken) -> Result<PhysFrame, AllocError>;

    /// A single frame.
    fn alloc_frame(&mut self, token: &IrqDisabledToken) -> Result<PhysFrame, AllocError> {
        Self::alloc(self, 0, token)
    }
}
