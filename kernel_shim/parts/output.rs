//! Lines of visible ASCII, from the text of a `Display`.

use core::fmt;

/// The first characters of a line. They tell what the line is.
pub mod kind {
    pub const LOG: &str = "# ";
    pub const BANNER: &str = "*";
    pub const CRASH: &str = "!";
    pub const CRASH_DETAIL: &str = "! ";
    pub const DATA: &str = ": ";
    pub const REPLY: &str = "=";
}

/// Sends bytes to the host.
pub type Send = fn(&[u8]);

/// Collects up to `N` bytes before it sends them.
///
/// `send` may take a lock. It is called with whole pieces only, never while a `Display` runs, which may panic.
pub struct Writer<const N: usize> {
    send: Send,
    piece: [u8; N],
    length: usize,
    /// Whether a full piece is sent. Otherwise what does not fit is dropped.
    splits: bool,
}

impl<const N: usize> Writer<N> {
    /// A writer that sends each piece when it is full.
    pub const fn new(send: Send) -> Self {
        Self { send, piece: [0; N], length: 0, splits: true }
    }

    /// A writer that calls `send` once, at the end of the line. It drops the rest of a line that is too long.
    pub const fn at_once(send: Send) -> Self {
        Self { splits: false, ..Self::new(send) }
    }

    /// Writes one line.
    pub fn line(mut self, kind: &str, text: fmt::Arguments<'_>) {
        self.push_all(kind.as_bytes());
        // A `Display` that fails leaves a short line. There is no place to report it.
        let _ = fmt::write(&mut self, text);
        self.end_line();
    }

    fn push_all(&mut self, bytes: &[u8]) {
        // The line's end must have room.
        if !self.splits && self.length + bytes.len() >= N {
            return;
        }
        for &byte in bytes {
            self.push(byte);
        }
    }

    fn push(&mut self, byte: u8) {
        self.piece[self.length] = byte;
        self.length += 1;
        if self.splits && self.length == N {
            self.flush();
        }
    }

    fn end_line(&mut self) {
        self.push(b'\n');
        self.flush();
    }

    fn flush(&mut self) {
        if self.length > 0 {
            (self.send)(&self.piece[..self.length]);
        }
        self.length = 0;
    }
}

/// Keeps a line one line of ASCII: control characters and everything beyond ASCII are escaped.
impl<const N: usize> fmt::Write for Writer<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                ' '..='~' => self.push_all(&[character as u8]),
                other => other.escape_default().for_each(|part| self.push_all(&[part as u8])),
            }
        }
        Ok(())
    }
}
