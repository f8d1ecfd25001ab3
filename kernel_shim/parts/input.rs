//! One request line: backspace, echo, a bound on its length.

/// Longer lines are refused, not cut.
pub const MAX_LINE: usize = 4096;

const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f; // both as in ASCII (RFC 20)

/// A line, by its content.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    Request(&'a str),
    /// Longer than [`MAX_LINE`]: the beginning of the line.
    TooLong(&'a str),
    /// Has bytes that are not visible ASCII: the text before the first of them.
    Binary(&'a str),
}

/// A line under construction. A person's line starts with a letter and is echoed; a program's starts with its number.
pub struct LineBuffer {
    bytes: [u8; MAX_LINE],
    length: usize,
    too_long: bool,
    echo: bool,
}

impl LineBuffer {
    pub const fn new() -> Self {
        Self { bytes: [0; MAX_LINE], length: 0, too_long: false, echo: false }
    }

    /// Begins another line.
    pub fn clear(&mut self) {
        (self.length, self.too_long, self.echo) = (0, false, false);
    }

    /// Takes one byte. Returns whether the line is complete. `echo` shows a person what was typed.
    pub fn take(&mut self, byte: u8, echo: impl Fn(&[u8])) -> bool {
        match byte {
            b'\n' | b'\r' if self.length == 0 => false,
            b'\n' | b'\r' => {
                self.show(b"\n", echo);
                true
            }
            BACKSPACE | DELETE => {
                if self.length > 0 {
                    self.length -= 1;
                    self.show(b"\x08 \x08", echo);
                }
                false
            }
            byte => {
                self.push(byte, echo);
                false
            }
        }
    }

    fn push(&mut self, byte: u8, echo: impl Fn(&[u8])) {
        if self.length == MAX_LINE {
            self.too_long = true;
            return;
        }
        if self.length == 0 {
            self.echo = byte.is_ascii_alphabetic();
        }
        self.bytes[self.length] = if byte == b'\t' { b' ' } else { byte };
        self.length += 1;
        self.show(&[byte], echo);
    }

    fn show(&self, bytes: &[u8], echo: impl Fn(&[u8])) {
        if self.echo {
            echo(bytes);
        }
    }

    /// The line as it was typed.
    pub fn line(&self) -> Line<'_> {
        let bytes = &self.bytes[..self.length];
        let visible = bytes.iter().position(|byte| !matches!(byte, b' '..=b'~')).unwrap_or(bytes.len());
        // Visible ASCII is UTF-8.
        let text = core::str::from_utf8(&bytes[..visible]).unwrap_or("");
        if visible < bytes.len() {
            Line::Binary(text)
        } else if self.too_long {
            Line::TooLong(text)
        } else {
            Line::Request(text)
        }
    }
}

/// Sequence number and the rest of a request. A person's line has no number and gets 0.
pub fn split_sequence(text: &str) -> (u64, &str) {
    let text = text.trim_start();
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match crate::args::parse("sequence", first, u64::MAX) {
        Ok(sequence) => (sequence, rest),
        Err(_) => (0, text),
    }
}
