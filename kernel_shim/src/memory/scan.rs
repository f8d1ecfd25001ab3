//! Reads and writes memory that another CPU may write to.
//!
//! It is written in assembly for two reasons. A slice needs a reference, and a plain store a promise: that nobody else writes.
//! And a loop over a table of slots takes minutes without optimization.

use core::arch::asm;

/// The number of u64, of `words` from `first` on, that equal the u64 `distance` words behind, up to the first that differs.
///
/// # Safety
/// All `words + distance` u64 from `first` on are mapped memory.
pub unsafe fn words_equal_at_distance(first: *const u64, distance: usize, words: usize) -> usize {
    if words == 0 {
        return 0;
    }
    let left: usize;
    let differs: u8;
    // SAFETY: reads the words that the caller promises to be mapped, and nothing else. The direction flag is clear between
    // functions (System V ABI 3.2.1), so the scan goes upwards.
    unsafe {
        asm!(
            "repe cmpsq",
            "setne {differs}",
            differs = out(reg_byte) differs,
            inout("rcx") words => left,
            inout("rsi") first => _,
            inout("rdi") first.wrapping_add(distance) => _,
            options(readonly, nostack),
        );
    }
    words - left - differs as usize
}

/// The index of the first of `length` bytes from `first` on that is not `byte`.
///
/// # Safety
/// All of the bytes are mapped memory.
pub unsafe fn first_other_byte(first: *const u8, length: usize, byte: u8) -> Option<usize> {
    if length == 0 {
        return None;
    }
    let left: usize;
    let differs: u8;
    // SAFETY: reads the bytes that the caller promises to be mapped, and nothing else. The direction flag is clear, as in
    // `words_equal_at_distance`.
    unsafe {
        asm!(
            "repe scasb",
            "setne {differs}",
            differs = out(reg_byte) differs,
            inout("rcx") length => left,
            inout("rdi") first => _,
            in("al") byte,
            options(readonly, nostack),
        );
    }
    (differs != 0).then(|| length - left - 1)
}

/// Copies memory, whatever its alignment.
///
/// # Safety
/// * `length` bytes from `from` on are mapped memory.
/// * As many from `to` on are, too, and can be written: nobody has a reference to them but the caller.
/// * The former and the latter do not overlap.
pub unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    const WORD: usize = size_of::<u64>();
    // SAFETY: reads and writes bytes that the caller promises to be mapped, apart and nobody else's values. The direction flag is
    // clear, as in `words_equal_at_distance`. The registers go on from the words to the other bytes.
    unsafe {
        asm!(
            "rep movsq",
            "mov rcx, {rest}",
            "rep movsb",
            rest = in(reg) length % WORD,
            inout("rcx") length / WORD => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Fills memory with a byte.
///
/// # Safety
/// * `length` bytes from `first` on are mapped memory.
/// * They can be written: nobody has a reference to them.
pub unsafe fn fill(first: *mut u8, length: usize, byte: u8) {
    // SAFETY: writes bytes that the caller promises to be mapped and nobody's values. The direction flag is clear, as in
    // `words_equal_at_distance`.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") length => _,
            inout("rdi") first => _,
            in("al") byte,
            options(nostack, preserves_flags),
        );
    }
}
