//! The running CPU: its number, its hardware id, its time stamp counter.

use super::descriptors;
use core::arch::asm;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use x86_64::registers::control::{Cr0, Cr4};
use x86_64::registers::rflags::{self, RFlags};

/// No CPU's number.
pub const NOBODY: usize = usize::MAX;

/// The number of the running CPU. The CPU that booted is 0.
///
/// The task register tells it: each CPU has a TSS of its own, and only [`descriptors`] ever loads one. So it needs no
/// memory, works in every handler, and is 0 before anything was set up.
pub fn index() -> usize {
    descriptors::cpu_of(descriptors::task_register())
}

/// What is added to the number of the CPU that asks a memory core, so that it uses another one's caches. 0 in storms.
pub static ASKS_AS: AtomicUsize = AtomicUsize::new(0);

/// The number of the running CPU, as a memory core is told it.
pub fn asking() -> usize {
    index() + ASKS_AS.load(Relaxed)
}

/// CR0 and CR4.
pub fn controls() -> (u64, u64) {
    (Cr0::read_raw(), Cr4::read_raw())
}

/// What a call has left otherwise than it may: all these flags were clear ahead of it, `controls` were as given.
pub fn left_behind(before: (u64, u64)) -> Option<&'static str> {
    let flags = rflags::read();
    // SAFETY: clears the direction flag, as Rust code expects it.
    unsafe { asm!("cld", options(nomem, nostack)) };
    let left = [
        (flags.contains(RFlags::DIRECTION_FLAG), "the direction flag set"),
        (flags.contains(RFlags::ALIGNMENT_CHECK), "the flag AC set"),
        (controls() != before, "another CR0 or CR4"),
    ];
    left.iter().find(|(is_so, _)| *is_so).map(|(_, what)| *what)
}

/// The time stamp counter.
pub fn time_stamp() -> u64 {
    // SAFETY: every CPU with long mode has it. User code may be kept from reading it, the kernel never is.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The hardware's number of the running CPU (Intel SDM vol. 2A, CPUID, leaf 1, EBX bits 24 to 31).
pub fn initial_apic_id() -> u64 {
    #[allow(unused_unsafe)] // newer compilers than Debian 12's declare the function safe
    // SAFETY: every CPU with long mode has the instruction.
    let leaf = unsafe { core::arch::x86_64::__cpuid(1) };
    u64::from(leaf.ebx >> 24)
}
