//! Leaving a panicked command: a call that can be abandoned from below.
//!
//! This is `setjmp`/`longjmp` shaped as one call that returns once, so that the compiler's view of the caller stays
//! true. **No destructor of the abandoned frames runs**: locks that they held stay locked, values that they owned
//! are leaked, and a half-done change stays half done. It is meant for judging what panicked, not for repairing it.

use super::{cpu_index, MAX_CPUS};
use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, Ordering};

/// The stack pointer to go back to, valid while `armed`.
struct Landing {
    stack_pointer: UnsafeCell<u64>,
    armed: AtomicBool,
}

// SAFETY: only the CPU that it belongs to uses it, see `landing`, and interrupt handlers never touch it.
unsafe impl Sync for Landing {}

static LANDINGS: [Landing; MAX_CPUS] =
    [const { Landing { stack_pointer: UnsafeCell::new(0), armed: AtomicBool::new(false) } }; MAX_CPUS];

/// This CPU's own.
fn landing() -> &'static Landing {
    &LANDINGS[cpu_index()]
}

/// Calls `f`; `None` when [`abandon`] was called below it. Calls nest: the innermost is the one that is abandoned.
pub fn call<F: FnOnce() -> R, R>(f: F) -> Option<R> {
    struct Job<F, R> {
        f: Option<F>,
        result: Option<R>,
    }
    extern "C" fn run<F: FnOnce() -> R, R>(job: *mut c_void) {
        // SAFETY: `job` is the `Job` on the frame below, which outlives this call and is not used meanwhile.
        let job = unsafe { &mut *job.cast::<Job<F, R>>() };
        job.result = job.f.take().map(|f| f());
    }
    let mut job = Job { f: Some(f), result: None };
    let landing = landing();
    let outer_armed = landing.armed.swap(true, Ordering::Relaxed);
    // SAFETY: `run::<F, R>` gets the pointer that it expects; landings outlive everything, and only this CPU uses its
    // own.
    let abandoned = unsafe {
        let outer = *landing.stack_pointer.get();
        let abandoned = call_abandonable(landing.stack_pointer.get(), run::<F, R>, (&raw mut job).cast());
        *landing.stack_pointer.get() = outer;
        abandoned
    };
    landing.armed.store(outer_armed, Ordering::Relaxed);
    if abandoned == 0 {
        job.result
    } else {
        None
    }
}

/// Whether [`abandon`] has somewhere to go.
pub fn is_armed() -> bool {
    landing().armed.load(Ordering::Relaxed)
}

/// Makes the innermost [`call`] return `None`; see the module's warning. Panics outside of one.
pub fn abandon() -> ! {
    let landing = landing();
    assert!(landing.armed.swap(false, Ordering::Relaxed), "recovery: no call to abandon");
    // SAFETY: armed, so `call_abandonable` is still on this CPU's stack and its saved registers are intact.
    unsafe { resume(*landing.stack_pointer.get()) }
}

unsafe extern "C" {
    /// Saves the callee-saved registers (System V ABI 3.2.1), stores rsp at `landing`, calls `f(argument)`.
    /// Returns 0 when `f` returned, 1 when [`resume`] came back instead.
    fn call_abandonable(landing: *mut u64, f: extern "C" fn(*mut c_void), argument: *mut c_void) -> u64;

    /// Continues after the call in [`call_abandonable`], with result 1.
    fn resume(stack_pointer: u64) -> !;
}

// Not `#[unsafe(naked)]`, which Rust has from 1.88 on: Debian 12 ships 1.85.
global_asm!(
    ".pushsection .text.recovery, \"ax\"",
    ".global call_abandonable, resume",
    ".type call_abandonable, @function",
    "call_abandonable:",
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "mov [rdi], rsp",
    "mov rdi, rdx",
    "call rsi",
    "xor eax, eax",
    "2: add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    ".size call_abandonable, . - call_abandonable",
    ".type resume, @function",
    "resume:",
    "mov rsp, rdi",
    "mov eax, 1",
    "cld",
    "jmp 2b",
    ".size resume, . - resume",
    ".popsection",
);
