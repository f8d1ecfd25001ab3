//! The form of a check of the shim itself.

use shim_parts::text::Text;

/// Why a check failed.
pub type Verdict = Result<(), Text<160>>;

pub struct Check {
    pub name: &'static str,
    pub run: fn() -> Verdict,
}

/// `Ok` when `holds`.
pub fn expect(holds: bool, otherwise: core::fmt::Arguments<'_>) -> Verdict {
    holds.then_some(()).ok_or_else(|| Text::from_args(otherwise))
}
