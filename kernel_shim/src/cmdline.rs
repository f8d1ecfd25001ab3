//! The kernel command line: space separated `key=value` words.

use crate::boot::start_info::StartInfo;
use spin::Once;

/// Longer lines are an error of the caller, not something to cut silently.
const CAPACITY: usize = 2048;

struct CommandLine {
    bytes: [u8; CAPACITY],
    length: usize,
}

static LINE: Once<CommandLine> = Once::new();

/// Copies the line out of the loader's memory.
pub fn init(start_info: &StartInfo) {
    let given = start_info.command_line;
    assert!(given.len() <= CAPACITY, "command line: expected at most {CAPACITY} bytes, got {}", given.len());
    assert!(given.is_ascii(), "command line: expected ascii");
    LINE.call_once(|| {
        let mut bytes = [0; CAPACITY];
        bytes[..given.len()].copy_from_slice(given);
        CommandLine { bytes, length: given.len() }
    });
}

/// The value of the last `key=value` word (a later word corrects an earlier one).
pub fn get(key: &str) -> Option<&'static str> {
    let line = LINE.get()?;
    // ASCII is UTF-8.
    let text = core::str::from_utf8(&line.bytes[..line.length]).unwrap_or("");
    text.split_ascii_whitespace().rev().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}
