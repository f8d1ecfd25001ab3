//! The shim's checks of itself: what every verdict silently relies on, looked at in the running guest.

mod console;
mod memory;
mod traps;

use crate::console::text::Text;

/// Why a check failed.
pub type Verdict = Result<(), Text<160>>;

pub struct Check {
    pub name: &'static str,
    pub run: fn() -> Verdict,
}

const TABLES: &[&[Check]] = &[memory::CHECKS, traps::CHECKS, console::CHECKS];

/// Every check, in the order of their numbers.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    TABLES.iter().copied().flatten()
}

/// `Ok` when `holds`.
fn expect(holds: bool, otherwise: core::fmt::Arguments<'_>) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(Text::from_args(otherwise))
    }
}
