//! The CPUs other than the one that booted: memory for them, their start.
//!
//! Intel SDM vol. 3A, 9.4 "Multiple-Processor (MP) Initialization": INIT, then a start-up IPI, both to all others at
//! once, because not every machine has an ACPI table that lists them. Each takes the next number as it arrives. The
//! 10 ms after INIT that chips need are left out: an emulated CPU is reset before it looks at the start-up IPI.

use super::local_apic::{signal, signal_others, Signal};
use super::{descriptors, exceptions, paging, stack, MAX_CPUS};
use crate::memory_map::{Map, RegionKind};
use crate::{cmdline, smp};
use core::sync::atomic::{AtomicU64, Ordering};
use core::{arch::global_asm, ptr, slice};
use spin::Once;

global_asm!(
    include_str!("../boot/trampoline.s"),
    KERNEL_BASE = const paging::KERNEL_BASE,
    ARRIVED = sym ARRIVED,
    EXPECTED = sym EXPECTED,
    STRIDE = const stack::SECONDARY_STRIDE,
    FIRST_TOP = const stack::secondary_top(1),
    SECONDARY_MAIN = sym secondary_main,
    options(att_syntax),
);

// Symbols of trampoline.s: only their addresses mean something.
unsafe extern "C" {
    static trampoline: u8;
    static trampoline_parameters: u8;
    static trampoline_end: u8;
}

const PAGE: u64 = 4096;
/// A start-up IPI reaches pages below 1 MiB; the first one is real mode's interrupt table.
const REAL_MODE: core::ops::Range<u64> = PAGE..1 << 20;

/// CPUs that run or are about to, the boot CPU included; the next one to arrive takes this number.
static ARRIVED: AtomicU64 = AtomicU64::new(1);
/// CPUs that have stacks, the boot CPU included; whoever arrives beyond halts for good.
static EXPECTED: AtomicU64 = AtomicU64::new(1);
/// What was taken from the memory map for the others.
static RESERVED: Once<Reserved> = Once::new();

struct Reserved {
    trampoline_page: u64,
    top_table: u64,
}

/// What trampoline.s cannot know before its page is chosen; addresses are linear.
#[repr(C, packed)]
struct Parameters {
    gdt_limit: u16,
    gdt_base: u32,
    protected_mode: u32,
    protected_mode_code: u16,
    long_mode: u32,
    long_mode_code: u16,
    top_table: u32,
}

/// How many CPUs the command line asks for (`cpus=`), by default the one that booted.
fn asked_for() -> usize {
    let Some(text) = cmdline::get("cpus") else {
        return 1;
    };
    match text.parse() {
        Ok(cpus) if (1..=MAX_CPUS).contains(&cpus) => cpus,
        _ => panic!("command line: cpus: expected 1 to {MAX_CPUS}, got {text}"),
    }
}

/// Takes memory for as many CPUs as were asked for: the trampoline, tables, stacks. Takes none for one.
pub fn reserve(map: &mut Map) {
    let cpus = asked_for();
    if cpus == 1 {
        return;
    }
    let trampoline_page = map.take_page_within(REAL_MODE, RegionKind::Boot);
    let mut page = || map.take_page_below(paging::BOOT_HHDM_BYTES, RegionKind::Boot);
    RESERVED.call_once(|| Reserved { trampoline_page, top_table: page() });
    paging::map_secondary_stacks(cpus, page);
    // Release: pairs with the plain read in trampoline.s, in CPUs that are not started before.
    EXPECTED.store(cpus as u64, Ordering::Release);
}

/// Starts the other CPUs that there is memory for; returns how many run, the boot CPU included.
///
/// Fewer than asked for is no error here: the banner says how many there are.
pub fn start() -> u64 {
    let Some(reserved) = RESERVED.get() else {
        return 1;
    };
    let expected = EXPECTED.load(Ordering::Relaxed);
    // SAFETY: both pages were taken from the memory map for this alone.
    unsafe {
        paging::write_transition_table(reserved.top_table);
        write_trampoline(reserved);
    }
    let page_number = (reserved.trampoline_page / PAGE) as u8;
    signal_others(Signal::Init);
    // The second start-up IPI is for CPUs that missed the first; the others ignore it (SDM 9.4.4.1, step 15).
    for _ in 0..2 {
        signal_others(Signal::Startup(page_number));
        if wait_until(|| smp::ready() == expected) {
            break;
        }
    }
    // Who comes too late halts for good: it must not find out that it has a number nobody knows.
    EXPECTED.store(smp::ready(), Ordering::Relaxed);
    smp::ready()
}

/// # Safety
/// The page of the trampoline is memory that nobody uses.
unsafe fn write_trampoline(reserved: &Reserved) {
    let (start, end) = (&raw const trampoline, &raw const trampoline_end);
    let (length, parameters) =
        (end as usize - start as usize, &raw const trampoline_parameters as usize - start as usize);
    assert!(length <= PAGE as usize && reserved.top_table < 1 << 32, "trampoline: does not fit");
    let page =
        ptr::with_exposed_provenance_mut::<u8>(paging::phys_to_virt(reserved.trampoline_page) as usize);
    // SAFETY: the code lies in the image between its two symbols; the page is mapped, at least as long, and nobody's.
    // The parameters lie inside the copy; the type is packed, so it needs no alignment.
    unsafe {
        page.copy_from_nonoverlapping(slice::from_raw_parts(start, length).as_ptr(), length);
        let parameters = &mut *page.add(parameters).cast::<Parameters>();
        let base = reserved.trampoline_page as u32;
        parameters.gdt_base += base;
        parameters.protected_mode += base;
        parameters.long_mode += base;
        parameters.top_table = reserved.top_table as u32;
    }
}

/// Waits a few seconds at most (of the time stamp counter; a busy host lets a CPU come late).
fn wait_until(condition: impl Fn() -> bool) -> bool {
    const TICKS: u64 = 1 << 33;
    let began = super::time_stamp();
    while !condition() {
        if super::time_stamp().wrapping_sub(began) > TICKS {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Called by trampoline.s on the CPU's own stack, interrupts off.
extern "C" fn secondary_main(cpu: u64) -> ! {
    descriptors::load(cpu as usize);
    exceptions::load_on_this_cpu();
    smp::serve(cpu as usize)
}

/// Halts with interrupts disabled until a non-maskable interrupt was handled.
pub fn halt_until_signal() {
    x86_64::instructions::hlt();
}

/// Wakes one other CPU from [`halt_until_signal`]. Never all at once: who halted for good has no handler for it.
pub fn wake(apic_id: u64) {
    signal(apic_id as u8, Signal::Nmi);
}
