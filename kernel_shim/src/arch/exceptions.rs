//! The IDT: everything that interrupts the CPU ends in one handler with all registers saved.
//!
//! Intel SDM vol. 3A, 6.14 "Exception and Interrupt Handling in 64-bit Mode".

use super::exit::exit;
use super::{cpu, interrupts, probe};
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};
use shim_parts::reply::ExitCode;
use spin::Once;
use x86_64::instructions::tables::lidt;
use x86_64::structures::idt::{Entry, HandlerFunc};
use x86_64::structures::DescriptorTablePointer;
use x86_64::VirtAddr;

/// 32 exceptions (SDM table 6-1), the 16 lines of the interrupt controllers, two of the local APIC.
const VECTORS: usize = 50;
const STUB_BYTES: u64 = 16;
/// Vectors whose exception pushes an error code: 8, 10-14, 17, 21, 29, 30 (29 and 30: AMD APM vol. 2, 8.2).
const WITH_ERROR_CODE: u64 = 0x6022_7d00;

/// SDM table 6-1; `#?` is reserved.
const NAMES: [&str; 32] = [
    "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "#CSO", "#TS", "#NP", "#SS", "#GP", "#PF", "#?",
    "#MF", "#AC", "#MC", "#XM", "#VE", "#CP", "#?", "#?", "#?", "#?", "#?", "#?", "#HV", "#VC", "#SX", "#?",
];

/// The words that the stubs below leave on the stack, lowest address first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

// The CPU aligns rsp to 16 before it pushes, and 22 words keep it so for the call. One stub per vector, 16 bytes
// each, so that the table can be computed.
global_asm!(
    ".text",
    ".balign 16",
    ".global trap_stubs",
    "trap_stubs:",
    ".set vector, 0",
    ".rept {VECTORS}",
    ".balign {STUB_BYTES}",
    ".if (({WITH_ERROR_CODE} >> vector) & 1) == 0",
    "push 0",
    ".endif",
    "push vector",
    "jmp trap_common",
    ".set vector, vector + 1",
    ".endr",
    "trap_common:",
    ".irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15",
    "push \\register",
    ".endr",
    "mov rdi, rsp",
    "cld",
    "call {handler}",
    ".irp register, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax",
    "pop \\register",
    ".endr",
    "add rsp, 16",
    "iretq",
    VECTORS = const VECTORS,
    STUB_BYTES = const STUB_BYTES,
    WITH_ERROR_CODE = const WITH_ERROR_CODE,
    handler = sym handle,
);

unsafe extern "C" {
    static trap_stubs: u8;
}

/// The crate's `InterruptDescriptorTable` has no place for reserved vectors, which are to be reported too.
type Table = [Entry<HandlerFunc>; VECTORS];
static IDT: Once<Table> = Once::new();

/// The number of breakpoints that were stepped over; see [`count_breakpoints`].
static BREAKPOINTS: AtomicU64 = AtomicU64::new(NOT_COUNTING);
const NOT_COUNTING: u64 = u64::MAX;
static BREAKPOINT_STACK: AtomicU64 = AtomicU64::new(0);

/// Reports an exception that nobody handles, and does not return.
pub type Report = fn(&TrapFrame, &str) -> !;

static REPORT: Once<Report> = Once::new();

/// Builds and loads the table on this CPU. `report` gets the exceptions that nobody handles.
pub fn init(report: Report) {
    REPORT.call_once(|| report);
    load(IDT.call_once(|| core::array::from_fn(|vector| entry(vector as u64))));
}

/// Loads the table on a CPU other than the one that built it. Panics before [`init`].
pub fn load_on_this_cpu() {
    load(IDT.get().expect("idt: expected to be built"));
}

/// Loads a table.
fn load(table: &'static Table) {
    let pointer = DescriptorTablePointer { limit: (size_of::<Table>() - 1) as u16, base: VirtAddr::from_ptr(table) };
    // SAFETY: the pointer has the table's address and size. Every present entry leads to a stub above, in the kernel's code
    // segment, and the table is never freed.
    unsafe { lidt(&pointer) };
}

fn entry(vector: u64) -> Entry<HandlerFunc> {
    let stub = &raw const trap_stubs as u64 + vector * STUB_BYTES;
    let mut entry = Entry::missing();
    // SAFETY: it is the address of the vector's stub above. The stub saves every register, drops the error code where the CPU
    // pushes one, and returns by `iretq`.
    let options = unsafe { entry.set_handler_addr(VirtAddr::new(stub)) };
    if let Some(index) = ist_index(vector) {
        // SAFETY: the index is below 7, and each CPU's TSS has a stack of its own for it. Of the exceptions that share stack
        // 0, none returns into the handler of another: an exception in a handler ends the guest (`report::begin`).
        unsafe { options.set_stack_index(index) };
    }
    entry
}

/// A stack of its own for each exception that can interrupt another one's handler, one stack for the other exceptions, and
/// none for devices, whose interrupts are on only while the console idles.
fn ist_index(vector: u64) -> Option<u16> {
    match vector {
        8 => Some(1),
        2 => Some(2),
        18 => Some(3),
        1 => Some(4),
        3 => Some(5),
        14 => Some(6),
        0..32 => Some(0),
        _ => None,
    }
}

/// Called by the stubs. Returning resumes the interrupted code.
extern "C" fn handle(frame: &mut TrapFrame) {
    if interrupts::handle(frame.vector) {
        return;
    }
    let counting = BREAKPOINTS.load(Ordering::Relaxed);
    let vector = frame.vector;
    match vector {
        // It only wakes a CPU that sleeps.
        2 if cpu::index() != 0 => {}
        3 if counting != NOT_COUNTING => {
            BREAKPOINTS.store(counting + 1, Ordering::Relaxed);
            BREAKPOINT_STACK.store(core::ptr::from_ref(frame) as u64, Ordering::Relaxed);
        }
        13 | 14 if apply_fixup(frame) => {}
        _ => {
            let other = if vector == interrupts::STRAY_VECTOR { "stray" } else { "interrupt" };
            let name = NAMES.get(vector as usize).copied().unwrap_or(other);
            match REPORT.get() {
                Some(report) => report(frame, name),
                // `init` sets it before it loads the table.
                None => exit(ExitCode::Panic),
            }
        }
    }
}

/// Goes on behind an access that may fault; returns whether `frame` was one.
fn apply_fixup(frame: &mut TrapFrame) -> bool {
    let fixup = probe::fixup(frame.rip);
    if let Some(address) = fixup {
        frame.rip = address;
    }
    fixup.is_some()
}

/// The number of breakpoints that `f` ran into. Each is resumed behind the breakpoint.
pub fn count_breakpoints(f: impl FnOnce()) -> u64 {
    BREAKPOINTS.store(0, Ordering::Relaxed);
    f();
    BREAKPOINTS.swap(NOT_COUNTING, Ordering::Relaxed)
}

/// The address of the last counted breakpoint's trap frame.
pub fn breakpoint_stack() -> u64 {
    BREAKPOINT_STACK.load(Ordering::Relaxed)
}

/// Loads a table whose page-fault entry is missing: the next page fault becomes a double fault.
pub fn forget_page_faults() {
    static WITHOUT_PAGE_FAULT: Once<Table> = Once::new();
    load(WITHOUT_PAGE_FAULT.call_once(|| {
        core::array::from_fn(|vector| if vector == 14 { Entry::missing() } else { entry(vector as u64) })
    }));
}

/// Loads a table without any entry: the next exception resets the machine (triple fault).
pub fn forget_everything() {
    let pointer = DescriptorTablePointer { limit: 0, base: VirtAddr::zero() };
    // SAFETY: a table of limit 0 has no entry to be valid. Every trap then resets the CPU, which is the purpose.
    unsafe { lidt(&pointer) };
}
