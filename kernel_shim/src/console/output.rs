//! Lines from guest to host: each has a kind, its text is one line of visible ASCII.

use super::uart;
use core::fmt;
use shim_parts::output::{Send, Writer};

pub use shim_parts::output::kind;

/// The transmit FIFO holds 16 bytes. A multiple saves locking.
const PIECE: usize = 64;
/// The longest line that is sent in one piece.
const WHOLE: usize = 512;

/// A log line, `# text`: never an answer.
#[macro_export]
macro_rules! log {
    ($($arg:tt)*) => {
        $crate::console::output::line($crate::console::output::kind::LOG, format_args!($($arg)*))
    };
}

/// Writes one line.
pub fn line(kind: &str, text: fmt::Arguments<'_>) {
    Writer::<PIECE>::new(uart::send as Send).line(kind, text);
}

/// Writes one data line of the running request.
pub fn data(text: fmt::Arguments<'_>) {
    line(kind::DATA, text);
}

/// Writes a log line by one call of the transmitter, because other CPUs print at the same time.
pub fn log_at_once(text: fmt::Arguments<'_>) {
    Writer::<WHOLE>::at_once(uart::send as Send).line(kind::LOG, text);
}

/// Writes one line of a crash report, on the CPU that prints alone.
pub fn crash_line(kind: &str, text: fmt::Arguments<'_>) {
    Writer::<PIECE>::new(uart::send_alone as Send).line(kind, text);
}
