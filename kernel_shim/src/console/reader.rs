//! Receives request lines from the host or from a person.

use super::uart::{self, Announce};
use crate::arch::interrupts;
use shim_parts::input::{Line, LineBuffer};

/// How often it looks for the rest of a line before the CPU sleeps. A program's rest is here at once, without the wait of
/// [`Announce::Burst`]. A person's is not.
const LOOKS: u32 = 100;

pub struct LineReader {
    buffer: LineBuffer,
    in_burst: bool,
}

impl LineReader {
    pub const fn new() -> Self {
        Self { buffer: LineBuffer::new(), in_burst: false }
    }

    /// Sleeps until a line that is not empty has arrived.
    pub fn next(&mut self) -> Line<'_> {
        self.buffer.clear();
        loop {
            let byte = self.receive();
            if self.buffer.take(byte, uart::send) {
                break;
            }
            self.expect_burst(true);
        }
        self.expect_burst(false);
        self.buffer.line()
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
}
