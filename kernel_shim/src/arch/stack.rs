//! Stacks with a guard page below each, so that an overflow faults instead of overwriting what lies below.

use core::cell::UnsafeCell;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};
use shim_parts::MAX_CPUS;

pub const GUARD_BYTES: usize = 4096;

/// The guard is mapped until `paging::init` takes its page out of the kernel image's mapping.
#[repr(C, align(4096))]
pub struct Stack<const BYTES: usize> {
    guard: [u8; GUARD_BYTES],
    body: UnsafeCell<[u8; BYTES]>,
}

// SAFETY: Rust code never reads or writes a stack through this type. Only the CPU that owns the stack does, by its own rsp.
unsafe impl<const BYTES: usize> Sync for Stack<BYTES> {}

impl<const BYTES: usize> Stack<BYTES> {
    const fn new() -> Self {
        Self { guard: [0; GUARD_BYTES], body: UnsafeCell::new([0; BYTES]) }
    }

    /// Addresses that are valid stack memory.
    fn range(&self) -> Range<u64> {
        let bottom = self.body.get() as u64;
        bottom..bottom + BYTES as u64
    }
}

/// Large, because code of a foreign subject runs on it, in a dev build with little optimization. Without any, what is
/// moved is copied from place to place on the stack.
const BOOT_BYTES: usize = if cfg!(unoptimized) { 512 * 1024 } else { 128 * 1024 };
pub static BOOT_STACK: Stack<BOOT_BYTES> = Stack::new();

/// One per IST index (Intel SDM vol. 3A, 6.14.5).
pub const IST_STACKS: usize = 7;
const IST_BYTES: usize = 16 * 1024;
static IST: [Stack<IST_BYTES>; IST_STACKS] = [const { Stack::new() }; IST_STACKS];

/// Where the stacks of the other CPUs are mapped: the 1 GiB above the kernel image. The address is ours. They are no part
/// of the image, so a guest with one CPU has none.
pub const SECONDARY_AREA: u64 = 0xffff_ffff_c000_0000;
/// The distance from one CPU's stacks to the next one's: the main stack, then the interrupt stacks, each above its guard.
pub const SECONDARY_STRIDE: u64 = 256 * 1024;
/// The main stack of a CPU that runs programs, never commands.
const SECONDARY_BYTES: usize = 64 * 1024;
const _: () =
    assert!(SECONDARY_BYTES + GUARD_BYTES + IST_STACKS * (IST_BYTES + GUARD_BYTES) <= SECONDARY_STRIDE as usize);
/// CPUs whose stacks are mapped, the boot CPU included.
static MAPPED: AtomicUsize = AtomicUsize::new(1);

/// Stacks of the CPUs below `cpus` are memory from now on.
pub fn note_mapped(cpus: usize) {
    // Release: pairs with the load in `secondaries`; the mappings were made before.
    MAPPED.store(cpus, Ordering::Release);
}

/// The address that the main stack of a CPU other than the boot CPU grows down from.
pub const fn secondary_top(cpu: usize) -> u64 {
    secondary_base(cpu) + (GUARD_BYTES + SECONDARY_BYTES) as u64
}

const fn secondary_base(cpu: usize) -> u64 {
    SECONDARY_AREA + (cpu as u64 - 1) * SECONDARY_STRIDE
}

/// The stacks of a CPU other than the boot CPU, lowest first.
pub fn secondary_stacks(cpu: usize) -> impl Iterator<Item = Range<u64>> {
    let main = secondary_top(cpu) - SECONDARY_BYTES as u64..secondary_top(cpu);
    core::iter::once(main).chain((0..IST_STACKS).map(move |index| {
        let end = secondary_ist_top(cpu, index);
        end - IST_BYTES as u64..end
    }))
}

const fn secondary_ist_top(cpu: usize, index: usize) -> u64 {
    secondary_top(cpu) + ((index + 1) * (GUARD_BYTES + IST_BYTES)) as u64
}

/// The address that an interrupt of a CPU through `index` starts to push below.
pub fn ist_top(cpu: usize, index: usize) -> u64 {
    match cpu {
        0 => IST[index].range().end,
        _ => secondary_ist_top(cpu, index),
    }
}

/// The stack that `vaddr` lies in.
pub fn containing(vaddr: u64) -> Option<Range<u64>> {
    image_stacks().chain(secondaries()).find(|range| range.contains(&vaddr))
}

/// Addresses of the guard pages in the kernel image.
pub fn image_guards() -> impl Iterator<Item = u64> {
    image_stacks().map(guard_below)
}

/// Addresses of all guard pages, those of the other CPUs' stacks included.
pub fn guards() -> impl Iterator<Item = u64> {
    image_stacks().chain(secondaries()).map(guard_below)
}

fn guard_below(stack: Range<u64>) -> u64 {
    stack.start - GUARD_BYTES as u64
}

/// A stack that ran over: its CPU, its name (`main`, or `ist1` to `ist7`), its guard page.
pub struct Overflow {
    pub cpu: usize,
    pub name: &'static str,
    pub guard: u64,
}

/// Names of a CPU's stacks, lowest first.
const STACK_NAMES: [&str; 1 + IST_STACKS] = ["main", "ist1", "ist2", "ist3", "ist4", "ist5", "ist6", "ist7"];
/// The number of bytes above the bottom of a stack from which a push or a call can still reach the guard.
const LAST_BYTES: u64 = 128;

/// The stack whose guard page an access hit because the stack has no more room.
///
/// A stray pointer may hit a guard, too. Then the stack pointer is elsewhere. A large frame may have moved the stack pointer
/// past the guard's end before the compiler's probe of the page faulted.
pub fn overflowed(vaddr: u64, rsp: u64) -> Option<Overflow> {
    let of_image = image_stacks().enumerate().map(|(index, range)| (0, index, range));
    let cpus = MAPPED.load(Ordering::Acquire).min(MAX_CPUS);
    let of_others =
        (1..cpus).flat_map(|cpu| secondary_stacks(cpu).enumerate().map(move |(index, range)| (cpu, index, range)));
    of_image.chain(of_others).find_map(|(cpu, index, range)| {
        let guard = guard_below(range.clone());
        let hit = (guard..range.start).contains(&vaddr);
        let near = rsp <= range.start + LAST_BYTES && rsp >= guard - GUARD_BYTES as u64;
        (hit && near).then(|| Overflow { cpu, name: STACK_NAMES[index], guard })
    })
}

/// The stacks of every other CPU, as far as they are mapped.
pub fn secondaries() -> impl Iterator<Item = Range<u64>> {
    // Acquire: pairs with `note_mapped`.
    (1..MAPPED.load(Ordering::Acquire).min(MAX_CPUS)).flat_map(secondary_stacks)
}

fn image_stacks() -> impl Iterator<Item = Range<u64>> {
    core::iter::once(BOOT_STACK.range()).chain(IST.iter().map(Stack::range))
}
