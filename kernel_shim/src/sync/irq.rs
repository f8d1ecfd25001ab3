//! Proof that interrupts are off, which the allocators ask for.

use x86_64::instructions::interrupts::without_interrupts;

/// Exists only while interrupts are disabled on its CPU. So no interrupt handler can wait for a lock that the CPU holds.
pub struct IrqDisabledToken(pub(super) ());

/// Runs `f` with interrupts disabled, then restores their state.
pub fn with_irqs_disabled<R>(f: impl FnOnce(&IrqDisabledToken) -> R) -> R {
    without_interrupts(|| f(&IrqDisabledToken(())))
}
