//! The local APIC, as far as it passes the 8259's interrupts on or signals other CPUs.
//!
//! Intel SDM vol. 3A, 11.4 "Local APIC", 11.5.1 "Local Vector Table", 11.6.1 "Interrupt Command Register". Firmware on
//! pc and q35 opens LINT0 to the 8259. On microvm nobody does, and it is masked after reset.

use super::{cpu, paging};
use x86_64::registers::model_specific::Msr;

/// The vector of a spurious interrupt. Its handler must not signal an end.
pub const SPURIOUS_VECTOR: u64 = 48;

const IA32_APIC_BASE: Msr = Msr::new(0x1b);
/// Bits 12 to 51: the physical base of the registers (SDM vol. 3A, 11.4.4 "Local APIC Status and Location").
const BASE_MASK: u64 = 0x000f_ffff_ffff_f000;

const SPURIOUS: u64 = 0xf0; // offsets of SDM vol. 3A, table 11-1 "Local APIC Register Address Map"
const REQUESTED: u64 = 0x200;
const COMMAND: u64 = 0x300;
/// The high half of the command register. Writing the low half sends.
const DESTINATION: u64 = 0x310;
const LINT0: u64 = 0x350;
const SOFTWARE_ENABLE: u32 = 1 << 8;
/// Delivery mode 7, not masked: the vector comes from the 8259.
const EXTERNAL: u32 = 7 << 8;

/// Bit 12 of the command register (SDM vol. 3A, 11.6.1, as what follows): an interrupt is still to be sent.
const PENDING: u32 = 1 << 12;
const ASSERT: u32 = 1 << 14;
/// Destination shorthands "self" and "all excluding self".
const TO_ITSELF: u32 = 1 << 18;
const ALL_OTHERS: u32 = 3 << 18;

/// A signal to another CPU, by the delivery mode of the command register.
#[derive(Clone, Copy)]
pub enum Signal {
    Nmi,
    /// Resets them into waiting for `Startup`.
    Init,
    /// Lets the CPUs that wait run in real mode from the page of that number.
    Startup(u8),
}

/// Lets interrupts through to this CPU, those of the 8259 to the first one, and sends it one of that vector.
pub fn init(pending: u64) {
    // In this order: while the APIC is disabled by software, LVT entries stay masked (SDM 11.4.7.2).
    write(SPURIOUS, SOFTWARE_ENABLE | SPURIOUS_VECTOR as u32);
    if cpu::index() == 0 {
        write(LINT0, EXTERNAL);
    }
    write(COMMAND, TO_ITSELF | ASSERT | pending as u32);
}

/// Whether an interrupt of that vector waits for this CPU.
pub fn is_pending(vector: u64) -> bool {
    read(REQUESTED + vector / 32 * 16) >> (vector % 32) & 1 == 1
}

/// Sends to every CPU except this one. Returns once it is sent.
pub fn signal_others(signal: Signal) {
    send(ALL_OTHERS, signal);
}

/// Sends to the CPU of that id. Returns once it is sent.
pub fn signal(apic_id: u8, signal: Signal) {
    write(DESTINATION, u32::from(apic_id) << 24);
    send(0, signal);
}

fn send(shorthand: u32, signal: Signal) {
    let mode = match signal {
        Signal::Nmi => 4 << 8, // delivery modes: SDM vol. 3A, 11.6.1
        Signal::Init => 5 << 8,
        Signal::Startup(page) => 6 << 8 | u32::from(page),
    };
    write(COMMAND, shorthand | ASSERT | mode);
    while read(COMMAND) & PENDING != 0 {
        core::hint::spin_loop();
    }
}

fn write(offset: u64, value: u32) {
    // SAFETY: `register` gives a mapped, aligned register of this CPU's APIC. Those written here change the delivery of
    // interrupts only; what a start-up IPI lets run is `secondary`'s trampoline.
    unsafe { register(offset).write_volatile(value) }
}

fn read(offset: u64) -> u32 {
    // SAFETY: `register` gives a mapped, aligned register of this CPU's APIC. Reading the one that is read here changes nothing.
    unsafe { register(offset).read_volatile() }
}

/// The registers are whole aligned words (SDM 11.4.1) at a base that boot.s maps uncached where it usually is.
fn register(offset: u64) -> *mut u32 {
    // SAFETY: IA32_APIC_BASE exists on every CPU with long mode. Reading it changes nothing.
    let base = unsafe { IA32_APIC_BASE.read() } & BASE_MASK;
    assert!(base < paging::BOOT_HHDM_BYTES, "local apic: base: expected below 4 GiB, got {base:#x}");
    paging::phys_to_virt(base + offset) as *mut u32
}
