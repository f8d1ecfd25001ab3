//! Stacks with a guard page below each, so that an overflow faults instead of eating what lies beneath.

use core::cell::UnsafeCell;
use core::ops::Range;

pub const GUARD_BYTES: usize = 4096;

/// The guard is mapped until `paging::init` takes its page out of the kernel image's mapping.
#[repr(C, align(4096))]
pub struct Stack<const BYTES: usize> {
    guard: [u8; GUARD_BYTES],
    body: UnsafeCell<[u8; BYTES]>,
}

// SAFETY: Rust code never reads or writes a stack through this type; only the CPU does, one at a time.
unsafe impl<const BYTES: usize> Sync for Stack<BYTES> {}

impl<const BYTES: usize> Stack<BYTES> {
    const fn new() -> Self {
        Self { guard: [0; GUARD_BYTES], body: UnsafeCell::new([0; BYTES]) }
    }

    /// Addresses that are valid stack memory.
    fn range(&self) -> Range<u64> {
        let bottom = self.body.get() as u64;
        bottom..bottom + BYTES as u64
    }
}

/// Unoptimized code of a foreign subject runs on it.
pub static BOOT_STACK: Stack<{ 128 * 1024 }> = Stack::new();

/// One per IST index (Intel SDM vol. 3A, 6.14.5).
pub const IST_STACKS: usize = 7;
static IST: [Stack<{ 16 * 1024 }>; IST_STACKS] = [const { Stack::new() }; IST_STACKS];

/// The address that an interrupt through `index` starts to push below.
pub fn ist_top(index: usize) -> u64 {
    IST[index].range().end
}

/// The stack that `vaddr` lies in.
pub fn containing(vaddr: u64) -> Option<Range<u64>> {
    all().find(|range| range.contains(&vaddr))
}

/// Addresses of all guard pages.
pub fn guards() -> impl Iterator<Item = u64> {
    all().map(|range| range.start - GUARD_BYTES as u64)
}

fn all() -> impl Iterator<Item = Range<u64>> {
    core::iter::once(BOOT_STACK.range()).chain(IST.iter().map(Stack::range))
}
