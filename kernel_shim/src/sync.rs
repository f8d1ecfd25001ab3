//! What keeps interrupts and CPUs apart, at the paths where a kernel has it.

mod irq;
#[cfg(kernel_tree)]
mod spinlock;

pub use irq::{with_irqs_disabled, IrqDisabledToken};
// A core uses what it needs.
#[cfg(kernel_tree)]
#[allow(unused_imports)]
pub use spinlock::{debug_set_trace_buddy_addr, SpinLock, SpinLockGuard};
