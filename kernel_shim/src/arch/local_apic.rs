//! The local APIC, as far as the 8259's interrupts need it to pass.
//!
//! Intel SDM vol. 3A, 11.4 "Local APIC", 11.5.1 "Local Vector Table". Firmware on pc and q35 opens LINT0 to the 8259;
//! on microvm nobody does, and it is masked after reset.

use super::paging;
use x86_64::registers::model_specific::Msr;

/// What a spurious interrupt arrives as; its handler must not signal an end.
pub const SPURIOUS_VECTOR: u64 = 48;

const IA32_APIC_BASE: Msr = Msr::new(0x1b);
/// Bits 12 to 51: the physical base of the registers.
const BASE_MASK: u64 = 0x000f_ffff_ffff_f000;

const SPURIOUS: u64 = 0xf0;
const LINT0: u64 = 0x350;
const SOFTWARE_ENABLE: u32 = 1 << 8;
/// Delivery mode 7, not masked: the vector comes from the 8259.
const EXTERNAL: u32 = 7 << 8;

/// Lets the 8259's interrupts through to this CPU.
pub fn pass_external_interrupts() {
    // SAFETY: IA32_APIC_BASE exists on every CPU with long mode; reading it changes nothing.
    let base = unsafe { IA32_APIC_BASE.read() } & BASE_MASK;
    assert!(base < paging::BOOT_HHDM_BYTES, "local apic: base: expected below 4 GiB, got {base:#x}");
    let write = |register: u64, value: u32| {
        // SAFETY: the registers lie at `base`, mapped uncached by boot.s at their usual address; they are written as
        // whole aligned words (SDM 11.4.1), and these two change interrupt delivery only.
        unsafe { (paging::phys_to_virt(base + register) as *mut u32).write_volatile(value) };
    };
    // In this order: while the APIC is disabled by software, LVT entries stay masked (SDM 11.4.7.2).
    write(SPURIOUS, SOFTWARE_ENABLE | SPURIOUS_VECTOR as u32);
    write(LINT0, EXTERNAL);
}
