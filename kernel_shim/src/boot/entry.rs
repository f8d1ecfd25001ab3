//! Assembles `boot.s` with the constants that it shares with Rust.

use crate::arch::paging::{HHDM_ENTRY, KERNEL_BASE};
use crate::arch::stack;
use core::arch::global_asm;
use core::ops::Range;

// A kernel tree has its memory map here.
#[cfg(kernel_tree)]
pub use super::region::{MemoryKind, MemoryRegion};

global_asm!(
    include_str!("boot.s"),
    KERNEL_BASE = const KERNEL_BASE,
    HHDM_ENTRY = const HHDM_ENTRY,
    BOOT_STACK = sym stack::BOOT_STACK,
    BOOT_STACK_BYTES = const core::mem::size_of_val(&stack::BOOT_STACK),
    options(att_syntax),
);

unsafe extern "C" {
    static pvh_start: u8;
    static pvh_end: u8;
}

/// Addresses of the boot code, which calls everything else.
pub fn code() -> Range<u64> {
    &raw const pvh_start as u64..&raw const pvh_end as u64
}
