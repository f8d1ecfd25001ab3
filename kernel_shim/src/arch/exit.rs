//! Leaving the guest through QEMU's isa-debug-exit device (`-device isa-debug-exit,iobase=0xf4,iosize=4`).
//!
//! QEMU hw/misc/debugexit.c: a write of `v` ends QEMU with status `v << 1 | 1`.

use x86_64::instructions::{hlt, interrupts, port::PortWriteOnly};

const PORT: u16 = 0xf4;

/// What is written to the device; in parentheses QEMU's exit status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ExitCode {
    /// (33)
    Pass = 0x10,
    /// (35)
    Fail = 0x11,
    /// (37) a panic or an exception.
    Crash = 0x12,
}

/// Ends the guest.
pub fn exit(code: ExitCode) -> ! {
    exit_with(code as u8)
}

/// Ends the guest with any value; only kernels that must not pass need another than an [`ExitCode`].
pub fn exit_with(value: u8) -> ! {
    // SAFETY: the port belongs to isa-debug-exit, or to nothing: then the write is ignored.
    unsafe { PortWriteOnly::new(PORT).write(value) };
    halt()
}

/// Stops for good, interrupts off: only an NMI or a reset gets out.
pub fn halt() -> ! {
    loop {
        interrupts::disable();
        hlt();
    }
}
