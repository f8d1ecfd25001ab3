//! Leaves the guest through QEMU's isa-debug-exit device (`-device isa-debug-exit,iobase=0xf4,iosize=4`).
//!
//! QEMU hw/misc/debugexit.c: a write of `v` ends QEMU with status `v << 1 | 1`.

use shim_parts::reply::ExitCode;
use x86_64::instructions::{hlt, interrupts, port::PortWriteOnly};

const PORT: u16 = 0xf4;

/// Ends the guest.
pub fn exit(code: ExitCode) -> ! {
    // SAFETY: the port belongs to isa-debug-exit or to nothing. Then the write is ignored.
    unsafe { PortWriteOnly::new(PORT).write(code as u8) };
    halt()
}

/// Stops for good, interrupts off. Only an NMI or a reset gets out.
pub fn halt() -> ! {
    loop {
        interrupts::disable();
        hlt();
    }
}
