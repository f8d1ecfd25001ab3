//! Lines from guest to host: each has a kind, its text is one line of visible ASCII.

use super::uart;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use shim_parts::output::{Send, Writer};

pub use shim_parts::output::kind;

/// Whether the cursor stands at the beginning of a line. A crash report may begin in the middle of one.
static AT_LINE_START: AtomicBool = AtomicBool::new(true);

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
    Writer::<PIECE>::new(send as Send).line(kind, text);
}

/// Writes one data line of the running request.
pub fn data(text: fmt::Arguments<'_>) {
    line(kind::DATA, text);
}

/// Writes a log line by one call of the transmitter, because other CPUs print at the same time.
pub fn log_at_once(text: fmt::Arguments<'_>) {
    Writer::<WHOLE>::at_once(send as Send).line(kind::LOG, text);
}

/// Writes one line of a crash report: without a lock, at the start of a line.
pub fn crash_line(kind: &str, text: fmt::Arguments<'_>) {
    if !AT_LINE_START.swap(true, Ordering::Relaxed) {
        uart::send_in_crash(b"\n");
    }
    Writer::<PIECE>::new(send_in_crash as Send).line(kind, text);
}

/// Sends bytes, such as the echo of what a person types.
pub fn send(bytes: &[u8]) {
    note_end(bytes);
    uart::send(bytes);
}

fn send_in_crash(bytes: &[u8]) {
    note_end(bytes);
    uart::send_in_crash(bytes);
}

fn note_end(bytes: &[u8]) {
    if let Some(&last) = bytes.last() {
        AT_LINE_START.store(last == b'\n', Ordering::Relaxed);
    }
}
