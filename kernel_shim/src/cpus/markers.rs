//! Places at which a debugger stops a CPU.
//!
//! They have a page of their own, because QEMU executes all code of a page with a breakpoint one instruction at a time. Each
//! begins with a NOP of one byte, which a debugger may skip.

use core::arch::global_asm;

global_asm!(
    ".text",
    ".balign 4096",
    ".global smp_step_begins",
    ".type smp_step_begins, @function",
    "smp_step_begins:",
    "nop",
    "ret",
    ".global smp_step_ended",
    ".type smp_step_ended, @function",
    "smp_step_ended:",
    "nop",
    "ret",
    ".global smp_step_panics",
    ".type smp_step_panics, @function",
    "smp_step_panics:",
    "nop",
    "ret",
    ".global smp_call_begins",
    ".type smp_call_begins, @function",
    "smp_call_begins:",
    "nop",
    "ret",
    ".global smp_call_ended",
    ".type smp_call_ended, @function",
    "smp_call_ended:",
    "nop",
    "ret",
    ".balign 4096",
);

unsafe extern "C" {
    /// Before a step of a traced program.
    pub safe fn smp_step_begins();
    /// After a step of a traced program.
    pub safe fn smp_step_ended();
    /// Where a debugger learns that a step will not end.
    pub safe fn smp_step_panics();
    /// Before a call of the subject by a command.
    pub safe fn smp_call_begins();
    /// After a call of the subject by a command.
    pub safe fn smp_call_ended();
}
