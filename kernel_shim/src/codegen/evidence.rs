//! Functions whose only use is to show how the compiler compiles them.
//!
//! The guest runs some and says in its banner what they did. The host compiles this file alone, with the flags that
//! it asked for, and compares the instructions. So it needs nothing but `core`, and names no other module.

/// Panics when `value` is 0, in a build with debug assertions.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn codegen_assertion(value: u64) {
    debug_assert!(value != 0);
}

/// Panics for the largest value in a build with overflow checks, else wraps.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn codegen_overflow(value: u64) -> u64 {
    value + 1
}

/// Returns the stack pointer below `depth` calls. An optimizer makes a loop of them, which uses no stack.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn codegen_recursion(depth: u64) -> u64 {
    if depth != 0 {
        return codegen_recursion(depth.wrapping_sub(1));
    }
    let stack_pointer: u64;
    // SAFETY: copies a register, and touches neither memory nor flags.
    unsafe { core::arch::asm!("mov {}, rsp", out(reg) stack_pointer, options(nomem, nostack, preserves_flags)) };
    stack_pointer
}

/// Each level of optimization compiles this differently: a load that only one path repeats, a condition that does not change
/// in the loop, a loop to unroll, a product that a small program computes by additions.
///
/// # Safety
/// * `words` leads to `count` values of one allocation: initialized, aligned, not at 0.
/// * Nobody writes them during the call.
/// * They take at most `isize::MAX` bytes.
#[inline(never)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn codegen_optimization(words: *const u64, count: usize, twice: bool, last: &mut u64) -> u64 {
    // SAFETY: the caller promises `count` initialized, aligned values of one allocation, not at 0. It promises that nobody
    // writes them during the call, which the slice does not outlive. It promises that their size fits.
    let words = unsafe { core::slice::from_raw_parts(words, count) };
    let mut sum = 0u64; // all numbers that follow are ours
    for &word in words {
        sum = sum.wrapping_add(if twice { word.wrapping_mul(37) } else { word ^ 0x55 });
    }
    if twice {
        *last = sum.wrapping_mul(9);
    }
    for &word in words {
        sum = sum.rotate_left(5) ^ word;
    }
    sum.wrapping_add(*last)
}

/// On a CPU with more features than the target's, each step is one special instruction.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn codegen_features(from: &[u64; 8], to: &mut [u64; 8]) -> u32 {
    *to = *from;
    let swapped = to[1].swap_bytes();
    let bits = swapped.count_ones().wrapping_add(to[2].leading_zeros()).wrapping_add(to[3].trailing_zeros());
    bits.wrapping_add((to[4] & !to[5]) as u32).wrapping_add((to[6] << (to[7] & 63)) as u32)
}
