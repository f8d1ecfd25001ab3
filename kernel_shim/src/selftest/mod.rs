//! The shim's checks of itself in the running guest: every verdict relies on what they look at.

mod check;
mod console;
mod memory;
mod traps;

use check::Check;

const TABLES: &[&[Check]] = &[memory::CHECKS, traps::CHECKS, console::CHECKS];

/// Every check, in the order of their numbers.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    TABLES.iter().copied().flatten()
}
