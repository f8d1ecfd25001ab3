//! The global allocator: a small heap for a frame module. The shim itself allocates nothing.
//!
//! It lies in the kernel image, apart from the frames that are judged. A module that never allocates gets none. It takes
//! the first granules that fit. A module that frees what it allocates never runs out.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;
use spin::Mutex;

const GRANULE: usize = 64;
const GRANULES: usize = 4096;
const BYTES: usize = GRANULE * GRANULES;

#[repr(C, align(4096))]
struct Arena(UnsafeCell<[u8; BYTES]>);

// SAFETY: nobody makes a reference to the bytes. Each byte is reached only through the pointer of the block that it is part
// of, and `USED` gives a block to one caller at a time.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; BYTES]));

/// Whether a granule is part of a block.
static USED: Mutex<[bool; GRANULES]> = Mutex::new([false; GRANULES]);

struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

// SAFETY: a block is made of granules that were free and are marked used under the lock, so blocks are disjoint. It is as
// long as asked for. It is aligned, since the arena is aligned to a page and a larger alignment gets no block. `alloc` does
// not panic, and `dealloc` not for a block that `alloc` gave, which its caller promises; a panic does not unwind here.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let count = layout.size().div_ceil(GRANULE);
        if layout.align() <= align_of::<Arena>() {
            let found = take(&mut USED.lock(), count, layout.align().div_ceil(GRANULE));
            if let Some(first) = found {
                // The offset of a granule is inside of the arena.
                return ARENA.0.get().cast::<u8>().wrapping_add(first * GRANULE);
            }
        }
        // Most callers panic now, and their message does not name this heap.
        crate::serial_println!("heap: no {layout:?}: the frame module's own heap has {BYTES} bytes");
        ptr::null_mut()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let first = block.addr().wrapping_sub(ARENA.0.get().addr()) / GRANULE;
        let count = layout.size().div_ceil(GRANULE);
        let freed = give_back(&mut USED.lock(), first, count);
        assert!(freed, "heap: expected a block that is allocated, got {layout:?} at {block:p}");
    }
}

/// Marks granules as free. False, and nothing is changed, where one of them is free already, or there is none.
fn give_back(used: &mut [bool; GRANULES], first: usize, count: usize) -> bool {
    let Some(block) = used.get_mut(first..first + count).filter(|block| !block.contains(&false)) else {
        return false;
    };
    block.fill(false);
    true
}

/// Marks the first free run of `count` granules that begins at a multiple of `step`.
fn take(used: &mut [bool; GRANULES], count: usize, step: usize) -> Option<usize> {
    let end = GRANULES.checked_sub(count)?;
    let first = (0..=end).step_by(step).find(|&first| !used[first..first + count].contains(&true))?;
    used[first..first + count].fill(true);
    Some(first)
}
