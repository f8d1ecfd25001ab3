//! The kernel command line: words `key=value`, separated by spaces.

use crate::named::named;
use crate::MAX_CPUS;

/// Longer lines are refused, not cut.
const CAPACITY: usize = 2048;

/// The keys that the kernel knows. Any other word is an error of the host.
const KEYS: [&str; 6] = ["init", "nonce", "onpanic", "cpus", "ramtop", "reserve"];

/// A copy of the line.
pub struct CommandLine {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl CommandLine {
    /// # Panics
    /// When the line is too long, is not ASCII, or has a word that the kernel does not know.
    pub fn new(given: &[u8]) -> Self {
        assert!(given.len() <= CAPACITY, "command line: expected at most {CAPACITY} bytes, got {}", given.len());
        assert!(given.is_ascii(), "command line: expected ascii");
        let mut bytes = [0; CAPACITY];
        bytes[..given.len()].copy_from_slice(given);
        let line = Self { bytes, length: given.len() };
        for word in line.text().split_ascii_whitespace() {
            let key = word.split_once('=').map(|(key, _)| key);
            let known = key.is_some_and(|key| KEYS.contains(&key));
            assert!(known, "command line: {word}: no such option, expected one of {KEYS:?} with a value");
        }
        line
    }

    fn text(&self) -> &str {
        // ASCII is UTF-8.
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }

    /// The value of the last word `key=value`. A later word overrides an earlier one.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut words = self.text().split_ascii_whitespace().rev();
        words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
}

named! {
    /// How far memory is set up before the prompt (`init=`).
    #[derive(PartialOrd, Ord)]
    pub enum Stage {
        /// The boot allocator.
        None "none",
        /// The boot allocator and the slot table.
        Array "array",
        /// The boot allocator, the slot table and the buddy.
        Full "full",
    }
}

impl Stage {
    /// # Panics
    /// When `init` names no stage.
    pub fn parse(init: Option<&str>) -> Self {
        match init {
            None | Some("full") => Self::Full,
            Some("array") => Self::Array,
            Some("none") => Self::None,
            Some(other) => panic!("command line: init: expected none, array or full, got {other}"),
        }
    }
}

/// The number of CPUs to start (`cpus=`), one by default.
///
/// # Panics
/// When it is no number, or one that the tables have no room for.
pub fn parse_cpus(text: Option<&str>) -> usize {
    let Some(text) = text else {
        return 1;
    };
    match text.parse() {
        Ok(cpus) if (1..=MAX_CPUS).contains(&cpus) => cpus,
        _ => panic!("command line: cpus: expected 1 to {MAX_CPUS}, got {text}"),
    }
}

/// Whether a panic of a command is survived (`onpanic=`). It is not by default.
///
/// # Panics
/// When `onpanic` is none of the two.
pub fn parse_on_panic(text: Option<&str>) -> bool {
    match text {
        None | Some("halt") => false,
        Some("recover") => true,
        Some(other) => panic!("command line: onpanic: expected halt or recover, got {other}"),
    }
}

/// # Panics
/// When `text` is no hexadecimal number.
pub fn parse_hex(key: &str, text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
        .unwrap_or_else(|_| panic!("command line: {key}: expected a hexadecimal number, got {text}"))
}
