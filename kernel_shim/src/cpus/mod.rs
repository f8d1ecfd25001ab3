//! What CPUs share, whatever they run: the table of programs, the effects of a panic on them, stops for a debugger.

pub mod markers;
pub mod panics;
pub mod record;
