//! Request lines from the host, or from a person: backspace, echo, a bound on length.

use super::output;
use super::uart::{self, Announce};
use crate::arch::interrupts;

/// Longer lines are refused, not cut.
pub const MAX_LINE: usize = 4096;

/// How often the rest of a line is looked for before the CPU sleeps: a program's is here at once, without the wait of
/// [`Announce::Burst`]; a person's is not.
const LOOKS: u32 = 100;

const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;

/// What ended at a newline.
pub enum Line<'a> {
    Request(&'a str),
    /// Longer than [`MAX_LINE`]; the beginning of it.
    TooLong(&'a str),
    /// Has bytes that are not visible ASCII; what precedes the first.
    Binary(&'a str),
}

/// A line that starts with a letter is a person's and is echoed; a program's starts with its number.
pub struct LineReader {
    bytes: [u8; MAX_LINE],
    length: usize,
    too_long: bool,
    echo: bool,
    in_burst: bool,
}

impl LineReader {
    pub const fn new() -> Self {
        Self { bytes: [0; MAX_LINE], length: 0, too_long: false, echo: false, in_burst: false }
    }

    /// Sleeps until a line that is not empty has arrived.
    pub fn next(&mut self) -> Line<'_> {
        (self.length, self.too_long, self.echo) = (0, false, false);
        loop {
            match self.receive() {
                b'\n' | b'\r' if self.length == 0 => {}
                b'\n' | b'\r' => break,
                BACKSPACE | DELETE => self.erase(),
                byte => self.push(byte),
            }
            self.expect_burst(true);
        }
        self.expect_burst(false);
        if self.echo {
            output::echo(b"\n");
        }
        self.classify()
    }

    /// The next byte. The CPU sleeps while there is none, but not at once in the middle of a line.
    fn receive(&mut self) -> u8 {
        let mut looks = 0;
        loop {
            if let Some(byte) = uart::try_receive() {
                return byte;
            }
            if self.in_burst && looks < LOOKS {
                looks += 1;
                core::hint::spin_loop();
            } else {
                interrupts::wait();
            }
        }
    }

    fn expect_burst(&mut self, burst: bool) {
        if burst != self.in_burst {
            uart::announce(if burst { Announce::Burst } else { Announce::EachByte });
            self.in_burst = burst;
        }
    }

    fn push(&mut self, byte: u8) {
        if self.length == MAX_LINE {
            self.too_long = true;
            return;
        }
        if self.length == 0 {
            self.echo = byte.is_ascii_alphabetic();
        }
        self.bytes[self.length] = if byte == b'\t' { b' ' } else { byte };
        self.length += 1;
        if self.echo {
            output::echo(&[byte]);
        }
    }

    fn erase(&mut self) {
        if self.length > 0 {
            self.length -= 1;
            if self.echo {
                output::echo(b"\x08 \x08");
            }
        }
    }

    fn classify(&self) -> Line<'_> {
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
