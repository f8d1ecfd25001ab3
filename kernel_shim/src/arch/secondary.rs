//! Starts the CPUs other than the one that booted, with memory for them.
//!
//! Intel SDM vol. 3A, 9.4 "Multiple-Processor (MP) Initialization": INIT, then a start-up IPI, both to all others at
//! once, because not every machine has an ACPI table that lists them. Each takes the next number as it arrives. The
//! 10 ms after INIT that chips need are left out: an emulated CPU is reset before it looks at the start-up IPI.

use super::exit::halt;
use super::local_apic::{self, signal, signal_others, Signal};
use super::{cpu, descriptors, exceptions, interrupts::STRAY_VECTOR, paging, stack};
use core::sync::atomic::{AtomicU64, Ordering};
use core::{arch::global_asm, ptr};
use shim_parts::memory_map::{Map, RegionKind};
use shim_parts::PAGE_SIZE as PAGE;
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

/// A start-up IPI reaches pages below 1 MiB. The first one is real mode's interrupt table.
const REAL_MODE: core::ops::Range<u64> = PAGE..1 << 20;

/// CPUs that run or are about to, the boot CPU included. The next one to arrive takes this number.
static ARRIVED: AtomicU64 = AtomicU64::new(1);
/// CPUs that have stacks, the boot CPU included. A CPU that arrives beyond halts for good.
static EXPECTED: AtomicU64 = AtomicU64::new(1);
/// The pages that were taken from the memory map for the others.
static RESERVED: Once<Reserved> = Once::new();

struct Reserved {
    trampoline_page: u64,
    top_table: u64,
}

/// What trampoline.s cannot know before its page is chosen. Addresses are linear.
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

/// Runs a CPU for ever. It gets the CPU's number.
type Serve = fn(usize) -> !;

static SERVE: Once<Serve> = Once::new();

/// Takes memory for that many CPUs: the trampoline, tables, stacks. Takes none for one CPU.
pub fn reserve(map: &mut Map, cpus: usize) {
    if cpus == 1 {
        return;
    }
    let trampoline_page = map.take_page_within(REAL_MODE, RegionKind::Boot);
    RESERVED.call_once(|| Reserved { trampoline_page, top_table: paging::transition_table(map) });
    paging::map_secondary_stacks(cpus, map);
    // Release: pairs with the plain read in trampoline.s, in CPUs that are not started before.
    EXPECTED.store(cpus as u64, Ordering::Release);
}

/// Starts the other CPUs that there is memory for. Each calls `serve`; `ready` counts those that run, and the boot CPU.
///
/// Fewer than asked for is no error here: the banner says how many there are, and the host takes no such guest.
pub fn start(serve: Serve, ready: fn() -> u64) {
    let Some(reserved) = RESERVED.get() else {
        return;
    };
    SERVE.call_once(|| serve);
    let expected = EXPECTED.load(Ordering::Relaxed);
    // SAFETY: `reserve` took the page out of the map's RAM. It took it for the trampoline alone, and no CPU runs in it yet.
    unsafe { write_trampoline(reserved) };
    let page_number = (reserved.trampoline_page / PAGE) as u8;
    signal_others(Signal::Init);
    // The second start-up IPI is for CPUs that missed the first. The others ignore it (SDM 9.4.4.1, step 15).
    for _ in 0..2 {
        signal_others(Signal::Startup(page_number));
        if wait_until(|| ready() == expected) {
            break;
        }
    }
}

/// # Safety
/// * The page of the trampoline is RAM that the HHDM maps.
/// * Nobody uses it.
unsafe fn write_trampoline(reserved: &Reserved) {
    let (start, end) = (&raw const trampoline, &raw const trampoline_end);
    let (length, parameters) =
        (end as usize - start as usize, &raw const trampoline_parameters as usize - start as usize);
    assert!(length <= PAGE as usize && reserved.top_table < 1 << 32, "trampoline: does not fit");
    let page = ptr::with_exposed_provenance_mut::<u8>(paging::phys_to_virt(reserved.trampoline_page) as usize);
    // SAFETY: the code lies in the image between its two symbols. The page is RAM that the HHDM maps, long enough as checked,
    // and no part of the image; the caller promises that nobody uses it. Bytes need no alignment.
    unsafe { page.copy_from_nonoverlapping(start, length) };
    // SAFETY: the parameters lie inside the copy (trampoline.s), which nobody else refers to. The type is packed, so it needs
    // no alignment, and all of its bits are valid.
    let parameters = unsafe { &mut *page.wrapping_add(parameters).cast::<Parameters>() };
    let base = reserved.trampoline_page as u32;
    parameters.gdt_base += base;
    parameters.protected_mode += base;
    parameters.long_mode += base;
    parameters.top_table = reserved.top_table as u32;
}

/// Waits a few seconds at most, by the time stamp counter: on a busy host a CPU comes late.
fn wait_until(condition: impl Fn() -> bool) -> bool {
    const TICKS: u64 = 1 << 33;
    let began = cpu::time_stamp();
    while !condition() {
        if cpu::time_stamp().wrapping_sub(began) > TICKS {
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
    local_apic::init(STRAY_VECTOR);
    match SERVE.get() {
        Some(serve) => serve(cpu as usize),
        None => halt(),
    }
}

/// Halts with interrupts disabled until a non-maskable interrupt was handled.
pub fn halt_until_signal() {
    x86_64::instructions::hlt();
}

/// Wakes one other CPU from [`halt_until_signal`]. Never signal all at once: a CPU that halted for good has no handler.
pub fn wake(apic_id: u64) {
    signal(apic_id as u8, Signal::Nmi);
}
