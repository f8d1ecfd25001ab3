//! What keeps interrupts and CPUs apart, at the paths where a kernel has it.

mod irq;
pub mod noise;
#[cfg(kernel_tree)]
mod spinlock;

// An adapter, and what it is around, use what they need.
#[cfg_attr(other_adapter, allow(unused_imports))]
pub use irq::{with_irqs_disabled, IrqDisabledToken};
#[cfg(kernel_tree)]
#[allow(unused_imports)]
pub use spinlock::{debug_set_trace_buddy_addr, SpinLock, SpinLockGuard};
