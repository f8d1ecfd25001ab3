//! Kernels that must never be judged a pass: the proof that the harness can tell.
//!
//! The rest of the shim calls these hooks at the places where a kernel can go wrong. Without the cargo feature `red`
//! they are empty and the compiler removes them; with it, `red=<name>` on the command line picks one misbehavior.

#[cfg(not(feature = "red"))]
mod absent;
#[cfg(feature = "red")]
mod kernels;

#[cfg(not(feature = "red"))]
pub use absent::*;
#[cfg(feature = "red")]
pub use kernels::*;
