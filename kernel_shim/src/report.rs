//! Crash reports: what panicked or trapped, with the way there.
//!
//! Nothing here allocates or takes a lock. A crash inside a report ends the guest at once, so a report never loops.

use crate::arch::backtrace::Backtrace;
use crate::arch::exceptions::TrapFrame;
use crate::arch::exit::{exit, ExitCode};
use crate::arch::stack::{overflowed, Overflow};
use crate::arch::{cpu_index, interrupts, recovery};
use crate::console::output::{crash_line, kind};
use crate::console::text::Text;
use crate::smp::{self, call};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use spin::Mutex;
use x86_64::registers::control::{Cr0, Cr2, Cr3, Cr4};

/// Whether the panic of a command is survived.
static RECOVERS: AtomicBool = AtomicBool::new(false);
/// Whether a panic is what was asked for; set only while the guest has one CPU at work, before its banner.
static QUIET: AtomicBool = AtomicBool::new(false);
/// Reports that were begun and not finished.
static DEPTH: AtomicU32 = AtomicU32::new(0);
/// The CPU that reports; others wait their turn.
static REPORTER: AtomicUsize = AtomicUsize::new(NOBODY);
const NOBODY: usize = usize::MAX;

/// The panic that was recovered last.
#[derive(Clone)]
pub struct LastPanic {
    pub file: Text<256>,
    pub line: u32,
    pub message: Text<1024>,
}

static LAST_PANIC: Mutex<LastPanic> =
    Mutex::new(LastPanic { file: Text::new(), line: 0, message: Text::new() });

/// Whether `f` panics, found out by calling it; nothing is reported.
pub fn panics(f: impl FnOnce()) -> bool {
    QUIET.store(true, Ordering::Relaxed);
    let panicked = recovery::call(f).is_none();
    QUIET.store(false, Ordering::Relaxed);
    panicked
}

pub fn set_recovers(recovers: bool) {
    RECOVERS.store(recovers, Ordering::Relaxed);
}

pub fn recovers() -> bool {
    RECOVERS.load(Ordering::Relaxed)
}

pub fn last_panic() -> LastPanic {
    LAST_PANIC.lock().clone()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if QUIET.load(Ordering::Relaxed) && recovery::is_armed() {
        recovery::abandon();
    }
    if recovers() && recovery::is_armed() && (taken(info) || !smp::may_report()) {
        recovery::abandon();
    }
    begin();
    let (file, line, column) = info.location().map_or(("?", 0, 0), |at| (at.file(), at.line(), at.column()));
    crash_line(kind::CRASH, format_args!("panic file={file} line={line} col={column}"));
    name_cpu();
    crash_line(kind::CRASH_DETAIL, format_args!("msg {}", info.message()));
    return_addresses(Backtrace::here());
    if recovers() && recovery::is_armed() {
        if let Some(mut last) = LAST_PANIC.try_lock() {
            *last = LastPanic {
                file: Text::from_args(format_args!("{file}")),
                line,
                message: Text::from_args(format_args!("{}", info.message())),
            };
        }
        crash_line(kind::CRASH, format_args!("end"));
        DEPTH.store(0, Ordering::Relaxed);
        // Release: pairs with the exchange in `begin` of a CPU that waits.
        REPORTER.store(NOBODY, Ordering::Release);
        recovery::abandon()
    }
    end()
}

/// Whether the panic is the answer of a command that a program runs.
fn taken(info: &PanicInfo<'_>) -> bool {
    let (file, line) = info.location().map_or(("?", 0), |at| (at.file(), at.line()));
    call::takes(format_args!("panic {file}:{line} {}", info.message()))
}

/// Reports an exception and ends the guest; one that a program's command raised is the answer of that command.
pub fn exception(frame: &TrapFrame, name: &str) -> ! {
    let TrapFrame { vector, error_code, rip, .. } = *frame;
    let cr2 = Cr2::read_raw();
    if recovers()
        && recovery::is_armed()
        && call::takes(format_args!("fault {name} rip={rip:#x} error={error_code:#x} cr2={cr2:#x}"))
    {
        recovery::abandon();
    }
    begin();
    crash_line(
        kind::CRASH,
        format_args!("exception vector={vector} name={name} error={error_code:#x} rip={rip:#x} cr2={cr2:#x}"),
    );
    name_cpu();
    // #DF as well: a page fault that finds no room on its own stack ends there, with cr2 as it was.
    if let 8 | 14 = vector {
        if let Some(Overflow { cpu, name, guard }) = overflowed(cr2, frame.rsp) {
            crash_line(kind::CRASH_DETAIL, format_args!("stack cpu={cpu} name={name} guard={guard:#x}"));
        }
    }
    registers(frame);
    return_addresses(Backtrace::from_frame_pointer(frame.rbp));
    end()
}

/// Says where it happened, where there is more than one CPU.
fn name_cpu() {
    if smp::ready() > 1 {
        crash_line(kind::CRASH_DETAIL, format_args!("cpu {}", cpu_index()));
    }
}

/// Ends the guest when this CPU has a report under way already; waits for that of another one, which may end the
/// guest. Interrupts stay off from here, also for a recovered console.
fn begin() {
    interrupts::disable();
    let me = cpu_index();
    while let Err(other) = REPORTER.compare_exchange(NOBODY, me, Ordering::Acquire, Ordering::Relaxed) {
        if other == me {
            break;
        }
        core::hint::spin_loop();
    }
    match DEPTH.fetch_add(1, Ordering::Relaxed) {
        0 => {}
        1 => {
            crash_line(kind::CRASH_DETAIL, format_args!("msg the report itself crashed"));
            end()
        }
        _ => exit(ExitCode::Crash),
    }
}

fn end() -> ! {
    crash_line(kind::CRASH, format_args!("end"));
    exit(ExitCode::Crash)
}

fn registers(frame: &TrapFrame) {
    let f = frame;
    let detail = |text: core::fmt::Arguments<'_>| crash_line(kind::CRASH_DETAIL, text);
    detail(format_args!("reg rax={:#x} rbx={:#x} rcx={:#x} rdx={:#x}", f.rax, f.rbx, f.rcx, f.rdx));
    detail(format_args!("reg rsi={:#x} rdi={:#x} rbp={:#x} rsp={:#x}", f.rsi, f.rdi, f.rbp, f.rsp));
    detail(format_args!("reg r8={:#x} r9={:#x} r10={:#x} r11={:#x}", f.r8, f.r9, f.r10, f.r11));
    detail(format_args!("reg r12={:#x} r13={:#x} r14={:#x} r15={:#x}", f.r12, f.r13, f.r14, f.r15));
    detail(format_args!("reg rip={:#x} rflags={:#x} cs={:#x} ss={:#x}", f.rip, f.rflags, f.cs, f.ss));
    let (cr3, _) = Cr3::read_raw();
    let (cr0, cr4) = (Cr0::read_raw(), Cr4::read_raw());
    detail(format_args!("reg cr0={cr0:#x} cr3={:#x} cr4={cr4:#x}", cr3.start_address()));
}

/// Innermost first.
fn return_addresses(backtrace: Backtrace) {
    for address in backtrace {
        crash_line(kind::CRASH_DETAIL, format_args!("bt {address:#x}"));
    }
}
