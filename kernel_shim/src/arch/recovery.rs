//! Leaves a command that panicked: a call that can be abandoned from below.
//!
//! This is `setjmp` and `longjmp` in the form of one call that returns once, so that the compiler's assumptions about the
//! caller hold. **No destructor of the abandoned frames runs**: locks that they held stay locked, values that they owned
//! are leaked, and a half-done change stays half done. Its purpose is to look at what panicked, not to repair it.

use super::cpu;
use core::arch::global_asm;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use shim_parts::MAX_CPUS;

/// The stack pointer to go back to, valid while `armed`. Only its own CPU uses it, so all accesses are relaxed.
struct Landing {
    stack_pointer: AtomicU64,
    armed: AtomicBool,
}

static LANDINGS: [Landing; MAX_CPUS] =
    [const { Landing { stack_pointer: AtomicU64::new(0), armed: AtomicBool::new(false) } }; MAX_CPUS];

/// The landing of this CPU.
fn landing() -> &'static Landing {
    &LANDINGS[cpu::index()]
}

/// Calls `f`. Returns `None` when [`abandon`] was called below it. Calls nest: the innermost one is abandoned.
pub fn call<F: FnOnce() -> R, R>(f: F) -> Option<R> {
    struct Job<F, R> {
        f: Option<F>,
        result: Option<R>,
    }
    extern "C" fn run<F: FnOnce() -> R, R>(job: *mut c_void) {
        // SAFETY: `job` is the `Job<F, R>` of the `call` below, which outlives this call and does not use it meanwhile.
        let job = unsafe { &mut *job.cast::<Job<F, R>>() };
        job.result = job.f.take().map(|f| f());
    }
    let mut job = Job { f: Some(f), result: None };
    let landing = landing();
    let outer_armed = landing.armed.swap(true, Ordering::Relaxed);
    let outer = landing.stack_pointer.load(Ordering::Relaxed);
    // SAFETY: the landing is static, and only this CPU uses it. `run::<F, R>` gets the `Job<F, R>` that it expects.
    let abandoned = unsafe { call_abandonable(landing.stack_pointer.as_ptr(), run::<F, R>, (&raw mut job).cast()) };
    landing.stack_pointer.store(outer, Ordering::Relaxed);
    landing.armed.store(outer_armed, Ordering::Relaxed);
    job.result.filter(|_| abandoned == 0)
}

/// Whether [`abandon`] has somewhere to go.
pub fn is_armed() -> bool {
    landing().armed.load(Ordering::Relaxed)
}

/// Makes the innermost [`call`] return `None`. Panics outside of one.
///
/// # Safety
/// * A lock that a frame between [`call`] and here may hold is freed by its `unlock_after_panic_of`, or stays locked for good.
/// * Nothing that borrows from these frames is reachable from outside of them.
/// * Data that these frames were changing is read as it is, by code that expects any content.
///
/// The frames are gone without their destructors: without these promises a value that is used later is broken.
pub unsafe fn abandon() -> ! {
    let landing = landing();
    assert!(landing.armed.swap(false, Ordering::Relaxed), "recovery: no call to abandon");
    let stack_pointer = landing.stack_pointer.load(Ordering::Relaxed);
    // SAFETY: the landing is armed, so `call_abandonable` stored this on this CPU, and has not returned. The frames above it
    // may be abandoned: the caller promises all three things.
    unsafe { resume(stack_pointer) }
}

unsafe extern "C" {
    /// Saves the callee-saved registers (System V ABI 3.2.1), stores rsp at `landing`, calls `f(argument)`.
    /// Returns 0 when `f` returned, 1 when [`resume`] came back instead.
    ///
    /// # Safety
    /// * `landing` can be written, and nobody else accesses it meanwhile.
    /// * `f` may be called with `argument`.
    fn call_abandonable(landing: *mut u64, f: extern "C" fn(*mut c_void), argument: *mut c_void) -> u64;

    /// Continues after the call in [`call_abandonable`], with result 1.
    ///
    /// # Safety
    /// * [`call_abandonable`] stored `stack_pointer` on this CPU, and has not returned.
    /// * The frames above it may be abandoned, see [`abandon`].
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
