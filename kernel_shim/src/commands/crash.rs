//! The command that crashes the guest, in every way in which a subject could crash it.

use crate::arch::{exceptions, exit, stack};
use core::arch::asm;
use core::fmt;
use core::hint::black_box;
use shim_parts::command::{refused, Args, Code, Command, CommandResult, Reply};

pub const COMMANDS: &[Command] = &[Command::new(
    "crash",
    "panic|nested|ud|pf|guard|gp|de|df|stack|triple|hang",
    "panic, raise an exception, overflow the stack, reset, or hang with interrupts off",
    crash,
)];

/// Canonical, and in neither of the mappings.
const UNMAPPED: u64 = 0xdead_0000;
/// Bits 47 to 63 differ (SDM vol. 1, 3.3.7.1).
const NOT_CANONICAL: u64 = 0x8000_0000_0000_0000;

fn crash(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let how = args.only(|args| args.word("kind"))?;
    match how {
        "panic" => panic!("crash requested: the console asked for a panic"),
        "nested" => panic!("{}", FaultsWhenShown),
        // SAFETY: raises #UD, whose handler does not return. Touches no memory.
        "ud" => unsafe { asm!("ud2", options(noreturn)) },
        "pf" => load(UNMAPPED),
        "guard" => stack::guards().take(1).for_each(load),
        "gp" => load(NOT_CANONICAL),
        // SAFETY: a division by zero raises #DE, whose handler does not return. It touches the named registers, no memory.
        "de" => unsafe { asm!("xor ecx, ecx", "div ecx", out("ecx") _, out("eax") _, out("edx") _) },
        "df" => {
            exceptions::forget_page_faults();
            load(UNMAPPED);
        }
        "stack" => {
            black_box(overflow(0));
        }
        "triple" => triple_fault(),
        "hang" => exit::halt(),
        other => return Err(refused(Code::Usage, format_args!("{other}: no such crash"))),
    }
    Ok(())
}

/// A load that faults. It is in assembly, because the compiler may assume that its own loads do not fault.
fn load(address: u64) {
    // SAFETY: each caller in this file passes an address in no mapping, so the load faults, and the handler does not return.
    unsafe { asm!("mov {0}, [{0}]", inout(reg) address => _, options(readonly, nostack)) };
}

/// A panic message that crashes the report about it.
struct FaultsWhenShown;

impl fmt::Display for FaultsWhenShown {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        load(UNMAPPED);
        Ok(())
    }
}

/// Resets the machine.
fn triple_fault() -> ! {
    exceptions::forget_everything();
    // SAFETY: raises #BP. Neither it nor the faults that follow have a handler, so the machine resets.
    unsafe { asm!("int3", options(noreturn)) }
}

/// Recurses until the guard page stops it. `black_box` keeps it from becoming a loop.
#[expect(unconditional_recursion, reason = "running out of stack is the purpose")]
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let local = black_box([depth; 32]);
    overflow(depth + 1) + local[(depth % 32) as usize]
}
