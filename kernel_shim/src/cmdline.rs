//! The kernel command line of this start.

use shim_parts::command_line::CommandLine;
use spin::Once;

static LINE: Once<CommandLine> = Once::new();

/// Copies the line out of the loader's memory.
pub fn init(given: &[u8]) {
    LINE.call_once(|| CommandLine::new(given));
}

/// The value of an option.
pub fn get(key: &str) -> Option<&'static str> {
    LINE.get()?.get(key)
}
