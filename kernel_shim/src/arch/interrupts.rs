//! The interrupt flag, with the one device interrupt that the console waits for.
//!
//! The 8259 pair (Intel 8259A datasheet) works alike on microvm, q35 and pc, and needs no ACPI tables. Every line
//! but COM1's is masked. Its output reaches the CPU through the local APIC.

use super::{cpu, local_apic};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use shim_parts::MAX_CPUS;
pub use x86_64::instructions::interrupts::are_enabled;
use x86_64::instructions::{interrupts, port::Port};

/// The first vector of the 16 lines: the lowest one that is no exception.
pub const FIRST_VECTOR: u64 = 32;
const COM1_LINE: u8 = 4;

/// An interrupt of this vector is pending on each CPU for good. [`enable`] holds it back: it comes in where anybody else
/// enables interrupts, for however short a time.
pub const STRAY_VECTOR: u64 = 49;

const PRIMARY: u16 = 0x20; // both as on a PC (QEMU 7.2, hw/intc/i8259_common.c)
const SECONDARY: u16 = 0xa0;
const END_OF_INTERRUPT: u8 = 0x20; // OCW2, "non-specific EOI" (datasheet)

/// Of each CPU, whether the subject is called with interrupts enabled. Only its own CPU uses it.
static LENDS: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];

/// The text of a request decides, so that it is the same whenever the request is played. Of many requests half say yes.
pub fn lend_to(request: &str) {
    let (basis, prime) = (2_166_136_261, 16_777_619_u32); // FNV-1a of 32 bits (draft-eastlake-fnv, 5)
    let hash = request.bytes().fold(basis, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(prime));
    LENDS[cpu::index()].store(hash.count_ones() % 2 == 1, Relaxed);
}

pub fn are_lent() -> bool {
    LENDS[cpu::index()].load(Relaxed)
}

/// Lets interrupts in, but for the one that nobody should.
pub fn enable() {
    hold_stray_back(true);
    interrupts::enable();
}

pub fn disable() {
    if are_enabled() {
        interrupts::disable();
        hold_stray_back(false);
    }
}

/// Whether this CPU's local APIC holds back what is pending. The 8259's interrupts come through it whatever their priority.
pub fn hold_stray_back(holds: bool) {
    // Of a vector, and of those below (Intel SDM vol. 3A, 11.8.3).
    let class = if holds { STRAY_VECTOR / 16 } else { 0 };
    // SAFETY: CR8 says which interrupts the local APIC holds back (SDM vol. 3A, 11.8.6), and changes no memory. What it lets
    // in is handled on a stack of its own by a handler that ends the guest.
    unsafe { asm!("mov cr8, {}", in(reg) class, options(nostack)) }
}

/// Whether the one that nobody should let in is there.
pub fn is_stray_pending() -> bool {
    local_apic::is_pending(STRAY_VECTOR)
}

/// Sleeps until an interrupt was handled. Interrupts are off before and after.
///
/// `sti` takes effect after the next instruction (Intel SDM vol. 2B, STI), so an interrupt ahead of the `hlt` wakes it.
pub fn wait() {
    hold_stray_back(true);
    interrupts::enable_and_hlt();
    disable();
}

/// Programs both controllers: vectors from [`FIRST_VECTOR`], everything masked but COM1.
pub fn init() {
    let vector = FIRST_VECTOR as u8;
    // ICW1 (edge triggered, cascade, ICW4 follows), ICW2 (vector), ICW3 (cascade at line 2), ICW4 (8086 mode) (datasheet).
    for (controller, words) in [(PRIMARY, [0x11, vector, 1 << 2, 1]), (SECONDARY, [0x11, vector + 8, 2, 1])] {
        write(controller, words[0]);
        words[1..].iter().for_each(|&word| write(controller + 1, word));
    }
    write(PRIMARY + 1, !(1 << COM1_LINE));
    write(SECONDARY + 1, 0xff);
    local_apic::init(STRAY_VECTOR);
}

/// Ends a device interrupt. Returns false when `vector` is none that can arrive.
///
/// COM1's data stays in the UART: the console reads it once [`wait`] returns. An 8259 reports a request that went away as
/// line 7 or 15 (datasheet, "default IR7"). These are not in service, so only the cascade is ended.
pub fn handle(vector: u64) -> bool {
    const COM1: u64 = FIRST_VECTOR + COM1_LINE as u64;
    const SPURIOUS_7: u64 = FIRST_VECTOR + 7;
    const SPURIOUS_15: u64 = FIRST_VECTOR + 15;
    match vector {
        COM1 | SPURIOUS_15 => write(PRIMARY, END_OF_INTERRUPT),
        SPURIOUS_7 | local_apic::SPURIOUS_VECTOR => {}
        _ => return false,
    }
    true
}

fn write(port: u16, value: u8) {
    // SAFETY: this module's own calls alone pass a port: one of the two 8259. Neither device touches memory.
    unsafe { Port::new(port).write(value) }
}
