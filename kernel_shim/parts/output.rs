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

/// The most bytes of text in a line. The host takes a longer line for several, and a panic's message need not end.
pub const MAX_TEXT: usize = 8192;
/// What stands in a line that was cut.
const CUT: &str = " ...";
/// The most bytes around the text: the kind, the mark of a cut, the line's end.
const AROUND: usize = 2 + CUT.len() + 1;

/// Sends bytes to the host.
pub type Send = fn(&[u8]);

/// Collects up to `N` bytes before it sends them.
///
/// `send` may take a lock. It is called with whole pieces only, never while a `Display` runs, which may panic.
pub struct Writer<const N: usize> {
    send: Send,
    piece: [u8; N],
    length: usize,
    /// The number of bytes of text that the line may still have.
    room: usize,
}

impl<const N: usize> Writer<N> {
    /// A writer that sends each piece when it is full.
    pub const fn new(send: Send) -> Self {
        Self { send, piece: [0; N], length: 0, room: MAX_TEXT }
    }

    /// A writer that calls `send` once, at the end of the line. It cuts a line that is too long for that.
    pub const fn at_once(send: Send) -> Self {
        Self { room: N - AROUND, ..Self::new(send) }
    }

    /// Writes one line.
    pub fn line(mut self, kind: &str, text: fmt::Arguments<'_>) {
        kind.bytes().for_each(|byte| self.push(byte));
        // A `Display` that fails by itself leaves a short line. There is no place to report it.
        if fmt::write(&mut self, text).is_err() && self.room == 0 {
            CUT.bytes().for_each(|byte| self.push(byte));
        }
        self.push(b'\n');
        self.flush();
    }

    fn push_text(&mut self, byte: u8) -> fmt::Result {
        self.room = self.room.checked_sub(1).ok_or(fmt::Error)?;
        self.push(byte);
        Ok(())
    }

    fn push(&mut self, byte: u8) {
        self.piece[self.length] = byte;
        self.length += 1;
        if self.length == N {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.length > 0 {
            (self.send)(&self.piece[..self.length]);
        }
        self.length = 0;
    }
}

/// Keeps a line one line of ASCII: control characters and everything beyond ASCII are escaped. Fails where a line is cut.
impl<const N: usize> fmt::Write for Writer<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match character {
            ' '..='~' => self.push_text(character as u8),
            other => other.escape_default().try_for_each(|part| self.push_text(part as u8)),
        })
    }
}
