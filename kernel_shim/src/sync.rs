//! Proof that interrupts are off, which the allocators ask for.

use crate::arch::interrupts;

#[cfg(kernel_tree)]
mod spinlock;
#[cfg(kernel_tree)]
pub use spinlock::{debug_set_trace_buddy_addr, SpinLock, SpinLockGuard};

/// Exists only while interrupts are disabled on the CPU that holds it. So no interrupt handler of this CPU can wait for a
/// lock that the CPU holds.
pub struct IrqDisabledToken(());

/// Runs `f` with interrupts disabled, then restores their state.
pub fn with_irqs_disabled<R>(f: impl FnOnce(&IrqDisabledToken) -> R) -> R {
    let were_enabled = interrupts::are_enabled();
    interrupts::disable();
    let result = f(&IrqDisabledToken(()));
    if were_enabled {
        interrupts::enable();
    }
    result
}
