//! The requests of a memory core.

use super::storm;
use crate::arch::cpu::ASKS_AS;
use crate::frame_module;
use crate::memory_core::{address, CoreError, MemoryCore, Wanted, WANTED, WANTED_AND_MOST};
use core::sync::atomic::Ordering::Relaxed;
use shim_parts::command::{refused, Args, Code, Command, CommandResult, Reply};
use shim_parts::MAX_CPUS;

/// The commands for the core `C`.
pub const fn commands<C: MemoryCore>() -> [Command; 10] {
    [
        Command::new("core.offers", "", "which requests this version of the core knows", offers::<C>),
        Command::new("core.layout", "", "where the compiler put members that the host looks for by name", layout::<C>),
        Command::new("core.start", "[end of the HHDM]", "start the core on the map that the host wrote", start::<C>),
        Command::new("core.alloc", WANTED, "allocate a block of the core", alloc::<C>),
        Command::new("core.cpu", "<cpu>", "ask as that CPU, whose caches are used, until the next start", cpu),
        Command::new("core.fill", WANTED_AND_MOST, "allocate blocks until there is none; a line for each", fill::<C>),
        Command::new("core.free", "<paddr> <order>", "free a block of the core", free),
        Command::new("core.poison", "<paddr>", "poison a frame: its guard, as the frame module does it", poison),
        Command::new("core.storm", "<cpus> <iterations> <seed>", "random work of several CPUs at once", storm::storm),
        Command::new("core.totals", "", "the pages that the core manages, and those that callers have", totals::<C>),
    ]
}

fn offers<C: MemoryCore>(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    C::OFFERS.iter().for_each(|&(name, known)| reply.flag(name, known));
    Ok(())
}

/// A second witness of what the host knows from debug information.
fn layout<C: MemoryCore>(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let layout = C::layout();
    reply.field("of", layout.of);
    reply.field("bytes", layout.bytes);
    layout.offsets.iter().for_each(|&(name, offset)| reply.field(name, offset));
    Ok(())
}

fn start<C: MemoryCore>(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let hhdm_end = args.only(|args| args.u64_or("end of the HHDM", u64::MAX))?;
    ASKS_AS.store(0, Relaxed);
    C::start(hhdm_end);
    Ok(())
}

fn alloc<C: MemoryCore>(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let wanted = args.only(Wanted::parse)?;
    reply.hex("paddr", C::allocate(&wanted)?);
    Ok(())
}

fn cpu(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let cpu = usize::from(args.only(|args| args.u8("cpu"))?);
    if cpu >= MAX_CPUS {
        return Err(refused(Code::Range, format_args!("cpu: expected a number below {MAX_CPUS}, got {cpu}")));
    }
    ASKS_AS.store(cpu, Relaxed);
    Ok(())
}

/// Fails when it stopped at an error before it had the most blocks that it may take.
fn fill<C: MemoryCore>(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (wanted, most) = (Wanted::parse(args)?, args.u64("most")?);
    args.end()?;
    for _ in 0..most {
        reply.data(format_args!("{:#x}", C::allocate(&wanted)?));
    }
    Ok(())
}

fn free(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (paddr, order) = (address(args)?, args.u8("order")?);
    args.end()?;
    frame_module::free(paddr.as_u64(), order);
    Ok(())
}

fn poison(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let paddr = args.only(address)?;
    Ok(frame_module::poison(paddr)?)
}

fn totals<C: MemoryCore>(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let totals = C::totals().ok_or(CoreError::NotStarted)?;
    reply.field("managed", totals.managed);
    reply.field("allocated", totals.allocated);
    Ok(())
}
