//! Leaves the guest through QEMU's isa-debug-exit device (`-device isa-debug-exit,iobase=0xf4,iosize=4`).
//!
//! QEMU hw/misc/debugexit.c: a write of `v` ends QEMU with status `v << 1 | 1`.

use super::interrupts;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use shim_parts::reply::ExitCode;
use x86_64::instructions::{hlt, port::PortWriteOnly};

const PORT: u16 = 0xf4; // ours, as in the command line above

/// The host writes `HELD` before it asks for an exit after which it wants to use QEMU again.
const HELD: u64 = 1;
/// The guest's answer: it stands before its last write.
const STANDING: u64 = 2;

/// The host finds it by name.
#[unsafe(no_mangle)]
static EXIT_HOLD: AtomicU64 = AtomicU64::new(0);

/// Ends the guest.
pub fn exit(code: ExitCode) -> ! {
    if matches!(code, ExitCode::Pass) {
        stand_before_exit();
    }
    // SAFETY: the port belongs to isa-debug-exit, which ends QEMU, or to nothing. Then the write is ignored.
    unsafe { PortWriteOnly::new(PORT).write(code as u8) };
    halt()
}

/// Sleeps for as long as the host holds this guest: all that is left to do is the write that ends it.
///
/// The host looks for an instruction pointer in this function. It sends a byte to wake the CPU.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stand_before_exit() {
    if EXIT_HOLD.compare_exchange(HELD, STANDING, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        interrupts::hold_stray_back(true);
        while EXIT_HOLD.load(Ordering::Acquire) == STANDING {
            // SAFETY: handlers of interrupts preserve all registers, and there is no red zone. Interrupts are off before and
            // after, as everywhere but where the CPU sleeps.
            unsafe { asm!("sti", "hlt", "cli", options(nostack)) };
        }
    }
}

/// Stops for good, interrupts off. Only an NMI or a reset gets out.
pub fn halt() -> ! {
    loop {
        interrupts::disable();
        hlt();
    }
}
