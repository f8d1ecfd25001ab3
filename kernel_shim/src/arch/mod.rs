//! Everything that knows the processor: tables, traps, ports.

pub mod backtrace;
pub mod cpu;
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
#[cfg(kernel_tree)]
pub mod x86_64;
