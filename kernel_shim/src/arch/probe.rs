//! Memory accesses that may fault. The trap handler skips them instead of ending the guest.

use core::arch::global_asm;

global_asm!(
    ".text",
    ".global probe_read, probe_read_access, probe_write, probe_write_access, probe_faulted",
    ".balign 16",
    "probe_read:",
    "xor eax, eax",
    "probe_read_access: mov cl, [rdi]",
    "mov [rsi], cl",
    "ret",
    "probe_write:",
    "xor eax, eax",
    "probe_write_access: mov [rdi], sil",
    "ret",
    "probe_faulted:",
    "mov eax, 1",
    "ret",
);

unsafe extern "C" {
    /// # Safety
    /// `value` can be written.
    fn probe_read(address: u64, value: *mut u8) -> u64;
    /// # Safety
    /// As [`write`].
    fn probe_write(address: u64, value: u8) -> u64;
    static probe_read_access: u8;
    static probe_write_access: u8;
    static probe_faulted: u8;
}

/// The byte at `address`, or `None` when reading it faults.
pub fn read(address: u64) -> Option<u8> {
    let mut value = 0;
    // SAFETY: `value` is this function's own. The trap handler skips a read that faults. Any other changes no memory, even that
    // of a device's register: no device was told to write to memory.
    let faulted = unsafe { probe_read(address, &mut value) };
    (faulted == 0).then_some(value)
}

/// Writes the byte at `address`; false when that faults.
///
/// # Safety
/// Nobody has a reference to that byte, unless it holds `value` already.
pub unsafe fn write(address: u64, value: u8) -> bool {
    // SAFETY: the caller promises that a write changes nothing that a reference leads to. The trap handler skips one that faults.
    (unsafe { probe_write(address, value) }) == 0
}

/// Whether the byte at `address` can be written.
///
/// # Safety
/// Nothing else may write that byte meanwhile.
pub unsafe fn is_writable(address: u64) -> bool {
    // SAFETY: the byte holds `value` already: it was just read, and the caller promises that nothing else writes it meanwhile.
    read(address).is_some_and(|value| unsafe { write(address, value) })
}

/// The instruction to go on at after a fault at `instruction`, when that is one of the two accesses above.
pub fn fixup(instruction: u64) -> Option<u64> {
    let accesses = [&raw const probe_read_access as u64, &raw const probe_write_access as u64];
    accesses.contains(&instruction).then_some(&raw const probe_faulted as u64)
}
