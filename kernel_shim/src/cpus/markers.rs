//! Places at which a debugger stops a CPU.
//!
//! They have a page of their own, because QEMU executes all code of a page with a breakpoint one instruction at a time. Each
//! begins with a NOP of one byte, which a debugger may skip. Ahead of two of them a byte is stored to: a debugger that watches
//! it stops a CPU at the NOP, and QEMU, unlike at a breakpoint, keeps the code that it has translated.

use core::arch::global_asm;
use core::sync::atomic::AtomicU8;

/// On a page of its own: QEMU looks at each access to a page of which a byte is watched.
#[repr(align(4096))]
struct Marks(#[expect(dead_code, reason = "assembly stores to it")] [AtomicU8; 2]);

/// What `smp_step_comes` and `smp_call_comes` store to, in this order.
#[unsafe(no_mangle)]
static SMP_MARKS: Marks = Marks([AtomicU8::new(0), AtomicU8::new(0)]);

global_asm!(
    ".text",
    ".balign 4096",
    "smp_step_comes:",
    "mov byte ptr [rip + {marks}], 0",
    "smp_step_begins:",
    "nop",
    "ret",
    "smp_call_comes:",
    "mov byte ptr [rip + {marks} + 1], 0",
    "smp_call_begins:",
    "nop",
    "ret",
    ".irp marker, smp_step_ended, smp_step_panics, smp_call_ended",
    "\\marker:",
    "nop",
    "ret",
    ".endr",
    ".irp marker, smp_step_comes, smp_step_begins, smp_call_comes, smp_call_begins, smp_step_ended, smp_step_panics, smp_call_ended",
    ".global \\marker",
    ".type \\marker, @function",
    ".endr",
    ".balign 4096",
    marks = sym SMP_MARKS,
);

unsafe extern "C" {
    /// Before a step of a traced program; `smp_step_begins` lies in it.
    pub safe fn smp_step_comes();
    /// After a step of a traced program.
    pub safe fn smp_step_ended();
    /// Where a debugger learns that a step will not end.
    pub safe fn smp_step_panics();
    /// Before a call of the subject by a command; `smp_call_begins` lies in it.
    pub safe fn smp_call_comes();
    /// After a call of the subject by a command.
    pub safe fn smp_call_ended();
}
