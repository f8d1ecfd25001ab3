//! The running CPU: its number, its hardware id, its time stamp counter.

use super::descriptors;

/// No CPU's number.
pub const NOBODY: usize = usize::MAX;

/// The number of the running CPU. The CPU that booted is 0.
///
/// The task register tells it: each CPU has a TSS of its own, and only [`descriptors`] ever loads one. So it needs no
/// memory, works in every handler, and is 0 before anything was set up.
pub fn index() -> usize {
    descriptors::cpu_of(descriptors::task_register())
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
