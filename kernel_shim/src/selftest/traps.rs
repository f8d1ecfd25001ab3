//! Checks of the traps, with the recovery from a panic.

use super::check::{expect, Check, Verdict};
use crate::arch::{backtrace::Backtrace, descriptors, exceptions, interrupts, paging, recovery, stack};
use core::arch::asm;
use core::hint::black_box;
use x86_64::instructions::segmentation::{Segment, CS};
use x86_64::instructions::tables::sidt;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};

pub const CHECKS: &[Check] = &[
    Check { name: "interrupts are disabled, and one is pending", run: interrupts_are_off },
    Check { name: "descriptor tables are the kernel's", run: tables_are_loaded },
    Check { name: "breakpoint is handled and resumed", run: breakpoint_resumes },
    Check { name: "trap runs on its own stack", run: trap_has_stack },
    Check { name: "write protection is on, SSE is off", run: control_registers },
    Check { name: "return addresses lead to the boot code", run: backtrace_reaches_boot },
    Check { name: "abandoned call comes back", run: recovery_returns },
];

fn interrupts_are_off() -> Verdict {
    expect(!interrupts::are_enabled(), format_args!("rflags.IF is set"))?;
    expect(interrupts::is_stray_pending(), format_args!("none is pending"))
}

fn tables_are_loaded() -> Verdict {
    let selectors = descriptors::selectors();
    let loaded = (CS::get_reg(), descriptors::task_register());
    expect(selectors == Some(loaded), format_args!("cs and tr are {loaded:?}, expected {selectors:?}"))?;
    let (base, limit) = (sidt().base.as_u64(), sidt().limit);
    expect(paging::is_image(base), format_args!("idt is at {base:#x}"))?;
    expect(limit >= 32 * 16 - 1, format_args!("idt has limit {limit:#x}"))
}

/// The registers that a handler may use freely (System V ABI 3.2.1), in the order of the array.
const CALLER_SAVED: usize = 9;

/// Fills the registers around a breakpoint: they must come back unchanged.
fn breakpoint() -> [u64; CALLER_SAVED] {
    let [mut a, mut c, mut d, mut si, mut di, mut r8, mut r9, mut r10, mut r11] = patterns();
    // SAFETY: the handler counts the breakpoint, since the caller asked for that, and resumes behind it with all registers
    // restored. Touches no memory.
    unsafe {
        asm!(
            "int3",
            inout("rax") a, inout("rcx") c, inout("rdx") d, inout("rsi") si, inout("rdi") di,
            inout("r8") r8, inout("r9") r9, inout("r10") r10, inout("r11") r11,
        );
    };
    [a, c, d, si, di, r8, r9, r10, r11]
}

/// Ours: distinct in every half.
fn patterns() -> [u64; CALLER_SAVED] {
    core::array::from_fn(|index| 0x0101_0101_0101_0101 * (index as u64 + 1))
}

fn breakpoint_resumes() -> Verdict {
    let mut registers = [0; CALLER_SAVED];
    let count = exceptions::count_breakpoints(|| registers = breakpoint());
    expect(count == 1, format_args!("expected 1 breakpoint, got {count}"))?;
    let changed = registers.iter().zip(patterns()).position(|(&got, expected)| got != expected);
    expect(changed.is_none(), format_args!("caller-saved register {changed:?} came back changed"))
}

fn trap_has_stack() -> Verdict {
    exceptions::count_breakpoints(|| _ = breakpoint());
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

fn abandon() -> ! {
    // SAFETY: the closures of `recovery_returns` that it leaves hold no lock. Nothing borrows from them. They change no data.
    unsafe { recovery::abandon() }
}

fn recovery_returns() -> Verdict {
    let kept = black_box(0x5eed); // ours: any number
    let plain = recovery::call(|| 7);
    let abandoned: Option<u32> = recovery::call(|| abandon());
    let nested = recovery::call(|| {
        let inner: Option<u32> = recovery::call(|| abandon());
        inner.map_or(8, |_| 9)
    });
    let outer: Option<u32> = recovery::call(|| {
        let _inner: Option<u32> = recovery::call(|| abandon());
        abandon()
    });
    let results = (plain, abandoned, nested, outer, kept);
    expect(results == (Some(7), None, Some(8), None, 0x5eed), format_args!("got {results:?}"))
}
