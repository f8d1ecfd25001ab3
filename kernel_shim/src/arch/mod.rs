//! Everything that knows the processor: tables, traps, ports.

pub mod backtrace;
pub mod descriptors;
pub mod exceptions;
pub mod exit;
pub mod interrupts;
mod local_apic;
pub mod paging;
pub mod probe;
pub mod recovery;
pub mod secondary;
pub mod stack;

/// CPUs that the tables have room for.
pub const MAX_CPUS: usize = 8;

/// The running CPU, 0 being the one that booted.
///
/// Told by the task register: each CPU has a TSS of its own, and nothing else than [`descriptors`] ever loads one.
/// That needs no memory, works in every handler, and is 0 before anything was set up.
pub fn cpu_index() -> usize {
    descriptors::cpu_of(descriptors::task_register())
}

/// The time stamp counter.
pub fn time_stamp() -> u64 {
    // SAFETY: every CPU with long mode has it; user code could be kept from reading it, the kernel never is.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// What the running CPU was numbered by the hardware (Intel SDM vol. 2A, CPUID, leaf 1, EBX bits 24 to 31).
pub fn initial_apic_id() -> u64 {
    #[allow(unused_unsafe)] // newer compilers than Debian 12's declare the function safe
    // SAFETY: every CPU with long mode has the instruction.
    let leaf = unsafe { core::arch::x86_64::__cpuid(1) };
    u64::from(leaf.ebx >> 24)
}
