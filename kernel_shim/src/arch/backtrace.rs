//! Return addresses from the frame-pointer chain.
//!
//! System V ABI, AMD64 supplement, 3.2.2: `[rbp]` is the caller's rbp, `[rbp + 8]` the return address.

use super::{paging, stack};

/// Longer chains are cut. The innermost frames tell what happened.
const MAX_DEPTH: usize = 64;

/// Walks from a frame pointer outwards, and stops at the first link that cannot be right.
pub struct Backtrace {
    frame: u64,
    left: usize,
}

impl Backtrace {
    /// From a saved rbp, which may hold anything.
    pub fn from_frame_pointer(frame: u64) -> Self {
        Self { frame, left: MAX_DEPTH }
    }

    /// From the caller of this function.
    #[inline(always)]
    pub fn here() -> Self {
        let frame: u64;
        // SAFETY: copies a register, and touches neither memory nor flags.
        unsafe { core::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags)) };
        Self::from_frame_pointer(frame)
    }
}

impl Iterator for Backtrace {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        let stack = stack::containing(self.frame)?;
        if self.frame % 8 != 0 || self.frame + 16 > stack.end {
            return None;
        }
        let pair = self.frame as *const u64;
        // SAFETY: the word lies inside one of our stacks, which stay mapped, and its address is aligned: both are checked above.
        // Any bits are a `u64`. Garbage may lead to the stack of another CPU: a volatile read loads the word as it is.
        let caller = unsafe { pair.read_volatile() };
        // SAFETY: the second word ends at `frame + 16`, which is at most the stack's end. The rest holds as for the first.
        let address = unsafe { pair.wrapping_add(1).read_volatile() };
        if !paging::kernel_text().contains(&address) {
            return None;
        }
        // A chain only goes up. Anything else is garbage or a circle.
        self.frame = if caller > self.frame { caller } else { 0 };
        Some(address)
    }
}
