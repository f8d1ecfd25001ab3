//! Lines from guest to host: each has a kind, its text is one line of visible ASCII.

use super::uart;
use core::fmt::{self, Write as _};
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

/// Writes a log line by one call of the transmitter: other CPUs print at the same time.
pub fn log_at_once(text: &str, end: &str) {
    let mut line = Whole { bytes: [0; Whole::CAPACITY], length: 0 };
    for part in [kind::LOG, text, end] {
        // What does not fit is dropped; there is nobody to tell.
        let _ = line.write_str(part);
    }
    line.push_all(b"\n");
    send_noting_end(uart::send, &line.bytes[..line.length]);
}

/// A line in one piece; what does not fit is dropped, but for its end.
struct Whole {
    bytes: [u8; Self::CAPACITY],
    length: usize,
}

impl Whole {
    const CAPACITY: usize = 512;
}

impl Visible for Whole {
    fn push_all(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if end < Self::CAPACITY || (bytes == b"\n" && end <= Self::CAPACITY) {
            self.bytes[self.length..end].copy_from_slice(bytes);
            self.length = end;
        }
    }
}

impl fmt::Write for Whole {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push_visible(s);
        Ok(())
    }
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

/// Keeps a line one line of ASCII: control characters and everything beyond ASCII are escaped.
trait Visible {
    fn push_all(&mut self, bytes: &[u8]);

    fn push_visible(&mut self, s: &str) {
        for character in s.chars() {
            match character {
                ' '..='~' => self.push_all(&[character as u8]),
                other => other.escape_default().for_each(|part| self.push_all(&[part as u8])),
            }
        }
    }
}

impl Visible for Writer {
    fn push_all(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.chunk[self.length] = byte;
            self.length += 1;
            if self.length == CHUNK {
                self.flush();
            }
        }
    }
}

impl Writer {
    fn flush(&mut self) {
        send_noting_end(self.send, &self.chunk[..self.length]);
        self.length = 0;
    }
}

impl fmt::Write for Writer {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push_visible(s);
        Ok(())
    }
}
