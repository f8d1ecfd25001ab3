//! The memory map as a kernel's memory core gets it, at the path where the kernel has it.
//!
//! The host writes a map into guest RAM, at [`GIVEN`], before it asks for the core's start.

use core::cell::UnsafeCell;

/// What a region is. The values are patterns in a core's `match`, so both derives of equality are needed.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryKind(pub u64);

// Names of a kernel.
#[allow(non_upper_case_globals, dead_code)]
impl MemoryKind {
    pub const Null: Self = Self(0);
    pub const Free: Self = Self(1);
    pub const Reclaim: Self = Self(2);
    pub const Reserved: Self = Self(3);
}

/// `size` bytes of physical memory at `base`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MemoryRegion {
    pub base: u64,
    pub size: u64,
    pub kind: MemoryKind,
}

/// The most regions of a map.
pub const MAX_REGIONS: usize = 1024;
/// The most ranges that a kernel protects, such as modules of its loader.
pub const MAX_PROTECTED: usize = 32;

/// What the host writes. The host finds it by name, and the fields by debug information.
#[repr(C)]
pub struct GivenMap {
    count: u64,
    protected_count: u64,
    regions: [MemoryRegion; MAX_REGIONS],
    /// The base and size of each range in bytes.
    protected: [[u64; 2]; MAX_PROTECTED],
}

#[repr(transparent)]
pub struct Given(UnsafeCell<GivenMap>);

// SAFETY: the guest never writes it. The host writes it before it asks for the core's start, while no CPU reads it.
unsafe impl Sync for Given {}

#[unsafe(no_mangle)]
static GIVEN: Given = Given(UnsafeCell::new(GivenMap {
    count: 0,
    protected_count: 0,
    regions: [MemoryRegion { base: 0, size: 0, kind: MemoryKind::Null }; MAX_REGIONS],
    protected: [[0; 2]; MAX_PROTECTED],
}));

fn given() -> &'static GivenMap {
    // SAFETY: a static is valid and aligned, and all bits are valid integers. Nobody makes a mutable reference, and the host
    // writes no more once the core starts, which asks first. The pointer is opaque to the compiler.
    unsafe { &*core::hint::black_box(GIVEN.0.get()) }
}

/// The regions that the host gave.
pub fn regions() -> &'static [MemoryRegion] {
    let map = given();
    &map.regions[..(map.count as usize).min(MAX_REGIONS)]
}

/// The base and size of the protected range number `index`.
pub fn protected(index: usize) -> Option<(u64, u64)> {
    let map = given();
    let [base, size] = *map.protected[..(map.protected_count as usize).min(MAX_PROTECTED)].get(index)?;
    Some((base, size))
}
