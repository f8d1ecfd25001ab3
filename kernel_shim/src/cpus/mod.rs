//! What CPUs share, whatever they run: rounds, the table of programs, effects of a panic, stops for a debugger.

pub mod markers;
pub mod panics;
pub mod record;
pub mod rounds;
