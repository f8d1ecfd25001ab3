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
pub mod stack;

/// The running CPU, 0 being the one that booted. One CPU runs until others are started.
pub fn cpu_index() -> usize {
    0
}
