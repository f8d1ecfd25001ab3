//! Lines from guest to host: each has a kind, its text is one line of visible ASCII.

use super::uart;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

/// The first characters of a line, which tell what it is.
pub mod kind {
    pub const LOG: &str = "# ";
    pub const BANNER: &str = "*";
    pub const CRASH: &str = "!";
    pub const CRASH_DETAIL: &str = "! ";
    pub const DATA: &str = ": ";
    pub const REPLY: &str = "=";
}

/// Whether the cursor stands at the beginning of a line; a crash report may begin in the middle of one.
static AT_LINE_START: AtomicBool = AtomicBool::new(true);

/// A log line, `# text`: never an answer.
#[macro_export]
macro_rules! log {
    ($($arg:tt)*) => {
        $crate::console::output::line($crate::console::output::kind::LOG, format_args!($($arg)*))
    };
}

/// Writes one line.
pub fn line(kind: &str, text: fmt::Arguments<'_>) {
    write_line(uart::send, kind, text);
}

/// Writes one line of a crash report: no lock, begins at the start of a line.
pub fn crash_line(kind: &str, text: fmt::Arguments<'_>) {
    if !AT_LINE_START.swap(true, Ordering::Relaxed) {
        uart::send_in_crash(b"\n");
    }
    write_line(uart::send_in_crash, kind, text);
}

/// Echoes what a person types.
pub fn echo(bytes: &[u8]) {
    send_noting_end(uart::send, bytes);
}

fn send_noting_end(send: fn(&[u8]), bytes: &[u8]) {
    if let Some(&last) = bytes.last() {
        AT_LINE_START.store(last == b'\n', Ordering::Relaxed);
        send(bytes);
    }
}

fn write_line(send: fn(&[u8]), kind: &str, text: fmt::Arguments<'_>) {
    let mut writer = Writer { send, chunk: [0; CHUNK], length: 0 };
    writer.push_all(kind.as_bytes());
    // A `Display` that fails leaves a short line; there is nobody to tell.
    let _ = fmt::write(&mut writer, text);
    writer.push_all(b"\n");
    writer.flush();
}

/// The transmit FIFO holds 16 bytes; a multiple saves locking.
const CHUNK: usize = 64;

/// Sends in chunks; the lock is held only while a chunk is sent, never while a `Display` runs (which may panic).
struct Writer {
    send: fn(&[u8]),
    chunk: [u8; CHUNK],
    length: usize,
}

impl Writer {
    fn push_all(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.chunk[self.length] = byte;
            self.length += 1;
            if self.length == CHUNK {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        send_noting_end(self.send, &self.chunk[..self.length]);
        self.length = 0;
    }
}

impl fmt::Write for Writer {
    /// Keeps the line one line of ASCII: control characters and everything beyond ASCII are escaped.
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for character in s.chars() {
            match character {
                ' '..='~' => self.push_all(&[character as u8]),
                other => other.escape_default().for_each(|part| self.push_all(&[part as u8])),
            }
        }
        Ok(())
    }
}
