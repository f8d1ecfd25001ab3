//! Proof that interrupts are off, which is what the allocators ask for.

use crate::arch::interrupts;

/// Exists only while interrupts are disabled on the CPU that holds it, so no interrupt handler can come
/// in between and wait for a lock that this CPU holds.
pub struct IrqDisabledToken(());

/// Runs `f` with interrupts disabled; afterwards they are as they were.
pub fn with_irqs_disabled<R>(f: impl FnOnce(&IrqDisabledToken) -> R) -> R {
    let were_enabled = interrupts::are_enabled();
    interrupts::disable();
    let result = f(&IrqDisabledToken(()));
    if were_enabled {
        interrupts::enable();
    }
    result
}
