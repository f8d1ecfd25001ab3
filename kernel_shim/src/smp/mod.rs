//! Programs that several CPUs run at the same time, on frames and slots.

mod barrier;
pub mod call;
mod held;
mod operation;
mod program;

pub use program::run;
