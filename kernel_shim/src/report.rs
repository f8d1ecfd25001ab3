//! Crash reports: what panicked or trapped, with the calls that led there.
//!
//! Nothing here allocates. A report waits for that of another CPU. The only other lock that it takes is that of its own CPU's
//! last panic, which no other CPU holds meanwhile. A crash inside a report ends the guest at once, so a report never loops.

use crate::arch::backtrace::Backtrace;
use crate::arch::exceptions::TrapFrame;
use crate::arch::exit::exit;
use crate::arch::stack::{overflowed, Overflow};
use crate::arch::{cpu, cpu::NOBODY, interrupts, recovery};
use crate::console::output::{crash_line, kind};
use crate::console::uart;
use crate::cpus::panics;
use crate::cpus::record::SMP;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use shim_parts::reply::{ExitCode, PanicReport};
use shim_parts::text::Text;
use shim_parts::MAX_CPUS;
use spin::Mutex;
use x86_64::registers::control::{Cr0, Cr2, Cr3, Cr4};

/// Whether the panic of a command is survived.
static RECOVERS: AtomicBool = AtomicBool::new(false);
/// Of each CPU, whether a panic is expected. Only its own CPU uses it.
static QUIET: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];
/// The CPU whose next panic shows in its command's reply alone: a program's replies lie in RAM.
static KEEPS_NEXT: AtomicUsize = AtomicUsize::new(NOBODY);
/// Reports that were begun and not finished.
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// Of each CPU, the panic that was recovered last. Only its own CPU uses it, and [`adopt`] once that CPU is done.
static LAST_PANICS: [Mutex<PanicReport>; MAX_CPUS] = [const { Mutex::new(PanicReport::none()) }; MAX_CPUS];

/// Whether `f` panics, found out by calling it. Nothing is reported. `f` must hold no lock when it panics.
pub fn panics_in(f: impl FnOnce()) -> bool {
    let quiet = &QUIET[cpu::index()];
    quiet.store(true, Ordering::Relaxed);
    let panicked = recovery::call(f).is_none();
    quiet.store(false, Ordering::Relaxed);
    panicked
}

pub fn set_recovers(recovers: bool) {
    RECOVERS.store(recovers, Ordering::Relaxed);
}

/// Panics, and nobody may take that for an answer.
pub fn end_with(what: impl core::fmt::Display) -> ! {
    set_recovers(false);
    panic!("{what}");
}

/// Of this CPU.
pub fn keep_next_panic(keeps: bool) {
    KEEPS_NEXT.store(if keeps { cpu::index() } else { NOBODY }, Ordering::Relaxed);
}

pub fn recovers() -> bool {
    RECOVERS.load(Ordering::Relaxed)
}

/// Whether this CPU goes on after a panic.
fn survives() -> bool {
    recovers() && recovery::is_armed()
}

/// Of this CPU.
pub fn last_panic() -> PanicReport {
    LAST_PANICS[cpu::index()].lock().clone()
}

/// Takes the last panic of another CPU, which has ended its work, for this CPU's.
pub fn adopt(cpu: usize) {
    let of_other = LAST_PANICS[cpu].lock().clone();
    *LAST_PANICS[cpu::index()].lock() = of_other;
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if QUIET[cpu::index()].load(Ordering::Relaxed) && recovery::is_armed() {
        // SAFETY: it is on while this CPU is in `panics_in`, whose `f` holds no lock. The functions of `codegen` that it runs lend
        // nothing out. They change no data.
        unsafe { recovery::abandon() }
    }
    // Only once: if the words themselves panic, that is a crash like any other.
    let kept = KEEPS_NEXT.compare_exchange(cpu::index(), NOBODY, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    if kept && survives() {
        keep(info);
        abandon_command()
    }
    if survives() && (taken(info) || !panics::may_report()) {
        abandon_command()
    }
    begin();
    let (file, line, column) = place(info);
    crash_line(kind::CRASH, format_args!("panic file={file} line={line} col={column}"));
    name_cpu();
    crash_line(kind::CRASH_DETAIL, format_args!("msg {}", info.message()));
    return_addresses(Backtrace::here());
    if survives() {
        keep(info);
        crash_line(kind::CRASH, format_args!("end"));
        DEPTH.store(0, Ordering::Relaxed);
        uart::print_together();
        abandon_command()
    }
    end()
}

/// File, line and column.
fn place<'a>(info: &'a PanicInfo<'_>) -> (&'a str, u32, u32) {
    info.location().map_or(("?", 0, 0), |at| (at.file(), at.line(), at.column()))
}

/// Keeps a panic for the reply of its command.
fn keep(info: &PanicInfo<'_>) {
    let (file, line, _) = place(info);
    let file = Text::from_args(format_args!("{file}"));
    let message = Text::from_args(format_args!("{}", info.message()));
    *LAST_PANICS[cpu::index()].lock() = PanicReport { file, line, message };
}

/// Leaves the command or the program that panicked.
fn abandon_command() -> ! {
    // It may have panicked where they were enabled on purpose.
    interrupts::disable();
    // `disable` does that only where they were enabled: code with interrupts disabled may have been called where they were.
    interrupts::hold_stray_back(false);
    // SAFETY: the callers of `recovery::call` free the allocators' locks by their `unlock_after_panic_of`; nobody frees another one
    // that the command held, so it stays locked. What outlives the command is its caller's or static, and safe code lends
    // neither a borrow of a command's frames. Slots, lists and the reply are read as they are, whatever they hold.
    unsafe { recovery::abandon() }
}

/// Whether the panic is the answer of a command that a program runs.
fn taken(info: &PanicInfo<'_>) -> bool {
    let (file, line, _) = place(info);
    panics::takes(format_args!("panic {file}:{line} {}", info.message()))
}

/// Reports an exception and ends the guest. One of a program's command is the answer of that command, unless that runs others.
pub fn exception(frame: &TrapFrame, name: &str) -> ! {
    let TrapFrame { vector, error_code, rip, .. } = *frame;
    let cr2 = Cr2::read_raw();
    // An interrupt that nobody should let in stays in service, so the next one would go unnoticed: it ends the guest.
    if vector < interrupts::FIRST_VECTOR
        && survives()
        && KEEPS_NEXT.load(Ordering::Relaxed) != cpu::index()
        && panics::takes(format_args!("fault {name} rip={rip:#x} error={error_code:#x} cr2={cr2:#x}"))
    {
        abandon_command();
    }
    begin();
    crash_line(
        kind::CRASH,
        format_args!("exception vector={vector} name={name} error={error_code:#x} rip={rip:#x} cr2={cr2:#x}"),
    );
    name_cpu();
    // #DF as well: a page fault without room on its own stack becomes one, and cr2 stays.
    if let (8 | 14, Some(Overflow { cpu, name, guard })) = (vector, overflowed(cr2, frame.rsp)) {
        crash_line(kind::CRASH_DETAIL, format_args!("stack cpu={cpu} name={name} guard={guard:#x}"));
    }
    registers(frame);
    return_addresses(Backtrace::from_frame_pointer(frame.rbp));
    end()
}

/// Names the CPU, if there is more than one.
fn name_cpu() {
    if SMP.ready() > 1 {
        crash_line(kind::CRASH_DETAIL, format_args!("cpu {}", cpu::index()));
    }
}

/// Begins a report. It ends the guest when this CPU is reporting already, and waits for the report of another CPU, which may
/// end the guest. The others print nothing meanwhile. Interrupts stay off from here on, also for a recovered console.
fn begin() {
    interrupts::disable();
    uart::print_alone();
    match DEPTH.fetch_add(1, Ordering::Relaxed) {
        0 => {}
        1 => {
            crash_line(kind::CRASH_DETAIL, format_args!("msg the report itself crashed"));
            end()
        }
        _ => exit(ExitCode::Panic),
    }
}

fn end() -> ! {
    crash_line(kind::CRASH, format_args!("end"));
    exit(ExitCode::Panic)
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
