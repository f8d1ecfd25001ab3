//! Checks of descriptor tables, trap entry and the way out of a panic.

use super::{Check, Verdict, expect};
use crate::arch::{backtrace::Backtrace, descriptors, exceptions, interrupts, paging, recovery, stack};
use core::arch::asm;
use core::hint::black_box;
use x86_64::instructions::segmentation::{CS, Segment};
use x86_64::instructions::tables::sidt;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};

pub const CHECKS: &[Check] = &[
    Check { name: "commands run with interrupts disabled", run: interrupts_are_off },
    Check { name: "descriptor tables are the kernel's", run: tables_are_loaded },
    Check { name: "breakpoint is handled and resumed", run: breakpoint_resumes },
    Check { name: "trap runs on its own stack", run: trap_has_stack },
    Check { name: "write protection is on, SSE is off", run: control_registers },
    Check { name: "return addresses lead to the boot code", run: backtrace_reaches_boot },
    Check { name: "abandoned call comes back", run: recovery_returns },
];

fn interrupts_are_off() -> Verdict {
    expect(!interrupts::are_enabled(), format_args!("rflags.IF is set"))
}

fn tables_are_loaded() -> Verdict {
    let selectors = descriptors::selectors();
    let loaded = (CS::get_reg(), descriptors::task_register());
    expect(selectors == Some(loaded), format_args!("cs and tr are {loaded:?}, expected {selectors:?}"))?;
    let (base, limit) = (sidt().base.as_u64(), sidt().limit);
    expect(paging::is_image(base), format_args!("idt is at {base:#x}"))?;
    expect(limit >= 32 * 16 - 1, format_args!("idt has limit {limit:#x}"))
}

/// Puts a value in a register around the trap: it must come back unchanged.
fn breakpoint() -> u64 {
    let mut value: u64 = 0x0123_4567_89ab_cdef;
    // SAFETY: the handler counts the breakpoint (the caller asked for that) and resumes after it.
    unsafe { asm!("int3", inout("r10") value) };
    value
}

fn breakpoint_resumes() -> Verdict {
    let mut register = 0;
    let count = exceptions::count_breakpoints(|| register = breakpoint());
    expect(count == 1, format_args!("expected 1 breakpoint, got {count}"))?;
    expect(register == 0x0123_4567_89ab_cdef, format_args!("r10 came back as {register:#x}"))
}

fn trap_has_stack() -> Verdict {
    exceptions::count_breakpoints(|| {
        breakpoint();
    });
    let local = 0u8;
    let here = core::ptr::from_ref(black_box(&local)) as u64;
    let there = exceptions::breakpoint_stack();
    let (mine, its) = (stack::containing(here), stack::containing(there));
    expect(mine.is_some(), format_args!("{here:#x} is on no stack"))?;
    expect(its.is_some() && its != mine, format_args!("the trap's frame was at {there:#x}"))
}

fn control_registers() -> Verdict {
    let (cr0, cr4) = (Cr0::read(), Cr4::read());
    expect(cr0.contains(Cr0Flags::WRITE_PROTECT), format_args!("cr0 is {:#x}", cr0.bits()))?;
    expect(!cr4.contains(Cr4Flags::OSFXSR), format_args!("cr4 is {:#x}", cr4.bits()))
}

fn backtrace_reaches_boot() -> Verdict {
    let depth = Backtrace::here().count();
    let last = Backtrace::here().last().unwrap_or(0);
    let boot = crate::boot::entry::code();
    expect(boot.contains(&last), format_args!("{depth} addresses, the last is {last:#x}"))
}

fn recovery_returns() -> Verdict {
    let kept = black_box(0x5eed);
    let plain = recovery::call(|| 7);
    let abandoned: Option<u32> = recovery::call(|| recovery::abandon());
    let nested = recovery::call(|| {
        let inner: Option<u32> = recovery::call(|| recovery::abandon());
        if inner.is_none() { 8 } else { 9 }
    });
    let results = (plain, abandoned, nested, kept);
    expect(results == (Some(7), None, Some(8), 0x5eed), format_args!("got {results:?}"))
}
