//! Kernels that must never be judged a pass, each under the name that `red=` takes on the command line.
//!
//! `red_kernels.py` adds this module to a copy of the shim, with calls at the places where a kernel can go wrong.

use crate::arch::{exceptions, exit, interrupts};
use crate::cmdline;
use crate::console::output::{self, kind};
use crate::console::uart;
use crate::report;
use core::arch::asm;
use shim_parts::memory_map::Entry;
use shim_parts::reply::ExitCode;
use x86_64::instructions::port::PortWriteOnly;

/// Every name; any other one is an error of the host.
const NAMES: &[&str] = &[
    "panic",            // before the banner
    "triple-fault",     // before the banner
    "hang-silent",      // sleeps before the banner, interrupts off
    "hang-cli",         // sleeps after the banner, interrupts off
    "hang-spin",        // burns CPU time after the banner, interrupts off
    "flood",            // log lines for ever after the banner
    "flood-reply",      // data lines for ever instead of a reply
    "garbage",          // random bytes instead of the banner
    "panic-request",    // in the answer to the first request once panics are recovered, without recovery
    "leaves",           // reports success in answer to the first request once panics are recovered
    "wrong-exit",       // QEMU ends with 1 whatever was asked for
    "wrong-exit-zero",  // QEMU ends with 0 (reset) whatever was asked for
    "wrong-exit-fail",  // the guest writes the code of a failure whatever was asked for
    "ktap-claims-more", // the plan is longer than what runs
    "ktap-zero",        // the plan is empty
    "wrong-seq",        // replies carry another request's number
    "no-reply",         // requests are run and not answered
    "double-reply",     // and answered twice
    "stale-nonce",      // the banner of another start
    "stale-build-id",   // the banner of another kernel
    "other-profile", // the banner of a build without debug assertions where there are some, and with where not
    "lie-dump",      // the dump shows what RAM does not hold (command `dump`)
    "corrupt-dump",  // one bit of one dump line is wrong (command `dump`)
    "no-ram",        // the loader's memory map is empty
    "unlocked-buddy", // several CPUs change the free lists at once
];

/// What begins the name of a bug in the frame module; its number follows.
const BUG: &str = "bug:";

/// The bug that is asked for, 0 for none. Modules with generated bugs call it.
#[unsafe(no_mangle)]
extern "C" fn red_bug() -> u32 {
    let number = cmdline::get("red").and_then(|red| red.strip_prefix(BUG));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Whether the command line asks for the red kernel `name`.
pub fn is(name: &str) -> bool {
    cmdline::get("red") == Some(name)
}

/// The entries of the loader's memory map. The first of the calls, so that an unknown name ends the guest at once.
pub fn memory_map(entries: impl Iterator<Item = Entry>) -> impl Iterator<Item = Entry> {
    let asked = cmdline::get("red");
    assert!(
        asked.is_none_or(|name| NAMES.contains(&name) || name.starts_with(BUG)),
        "command line: red: no such kernel: {}",
        asked.unwrap_or("")
    );
    entries.take(if is("no-ram") { 0 } else { usize::MAX })
}

pub fn before_banner() {
    if is("panic") {
        panic!("red kernel: panic before the banner");
    }
    if is("triple-fault") {
        triple_fault();
    }
    if is("hang-silent") {
        exit::halt();
    }
    if is("garbage") {
        garbage();
    }
}

/// Resets the machine.
fn triple_fault() -> ! {
    exceptions::forget_everything();
    // SAFETY: raises #BP. Neither it nor the faults that follow have a handler, so the machine resets.
    unsafe { asm!("int3", options(noreturn)) }
}

/// Reproducible noise with every byte value in it (the generator of Numerical Recipes, section 7.1).
fn garbage() -> ! {
    const BYTES: usize = 64 * 1024;
    let mut state: u32 = 1;
    for _ in 0..BYTES {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        uart::send(&[(state >> 24) as u8]);
    }
    exit::halt()
}

pub fn after_banner() {
    if is("hang-cli") {
        exit::halt();
    }
    if is("hang-spin") {
        interrupts::disable();
        loop {
            core::hint::spin_loop();
        }
    }
    if is("flood") {
        flood(kind::LOG);
    }
}

fn flood(kind: &str) -> ! {
    let mut line: u64 = 0;
    loop {
        output::line(kind, format_args!("flood {line}"));
        line += 1;
    }
}

pub fn before_answer() {
    if is("flood-reply") {
        flood(kind::DATA);
    }
    if is("leaves") && report::recovers() {
        exit::exit(ExitCode::Pass);
    }
    if is("panic-request") && report::recovers() {
        panic!("red kernel: panic in a request, outside of what is recovered");
    }
}

pub fn before_exit() {
    if is("wrong-exit") {
        // SAFETY: the port belongs to isa-debug-exit, which ends QEMU.
        unsafe { PortWriteOnly::new(0xf4).write(0_u8) };
    }
    if is("wrong-exit-zero") {
        triple_fault();
    }
    if is("wrong-exit-fail") {
        exit::exit(ExitCode::Fail);
    }
}

pub fn sequence(sequence: u64) -> u64 {
    if is("wrong-seq") {
        sequence.wrapping_add(1)
    } else {
        sequence
    }
}

pub fn replies() -> usize {
    match cmdline::get("red") {
        Some("no-reply") => 0,
        Some("double-reply") => 2,
        _ => 1,
    }
}

/// Whether debug assertions are reported as fired.
pub fn assertions(fired: bool) -> bool {
    fired != is("other-profile")
}

pub fn nonce(nonce: &str) -> &str {
    if is("stale-nonce") {
        "5a1e"
    } else {
        nonce
    }
}

pub fn build_id(id: &[u8]) -> &[u8] {
    if is("stale-build-id") {
        &[0x5a; 20]
    } else {
        id
    }
}

/// The number of checks that the KTAP plan claims, the number of checks that run.
pub fn ktap_plan(checks: usize) -> (usize, usize) {
    match cmdline::get("red") {
        Some("ktap-claims-more") => (checks + 3, checks),
        Some("ktap-zero") => (0, 0),
        _ => (checks, checks),
    }
}

/// Whether the dump shows the slot with a changed bit. All else about that dump is right.
pub fn tells_wrong(pfn: u64, first: u64) -> bool {
    pfn == first && is("lie-dump")
}

/// A slot as the dump shows it.
pub fn seen<const N: usize>(mut slot: [u8; N], pfn: u64, first: u64) -> [u8; N] {
    slot[N / 2] ^= u8::from(tells_wrong(pfn, first));
    slot
}

/// A slot as its line of the dump has it: the first line of `corrupt-dump` loses a bit.
pub fn printed<const N: usize>(mut slot: [u8; N], run: u64) -> [u8; N] {
    slot[N / 2] ^= u8::from(run == 0 && is("corrupt-dump"));
    slot
}
