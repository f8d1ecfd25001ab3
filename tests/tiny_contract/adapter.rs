//! Binds the shim to `slot.rs`: what that asks its kernel for, its start, a console command for each method.

use crate::arch::paging::KERNEL_BASE;
use crate::commands::{crash, selftest, system};
use crate::console::{batch, table::Tables};
use crate::subject::{self, TinySlot, TABLE};
use crate::witness;
use shim_parts::args::Args;
use shim_parts::command::{failed, refused, Code, Command, CommandError, CommandResult};
use shim_parts::command_line::Stage;
use shim_parts::reply::Reply;
use shim_parts::PAGE_SIZE;

/// What the module finds as `crate::memory`.
pub mod memory {
    pub const SLOTS: usize = 256;
}

pub const TABLES: Tables = &[system::COMMANDS, batch::COMMANDS, COMMANDS, selftest::COMMANDS, crash::COMMANDS];

const COMMANDS: &[Command] = &[
    Command::new("slot.take", "<paddr> <owner>", "give a free slot to an owner", take),
    Command::new("slot.put", "<paddr>", "take a slot from its owner; v is the owner", put),
    Command::new("slot.turns", "<paddr>", "how often a slot was taken", turns),
];

/// Called once at boot. The host reads the table where the witness says that it is.
pub fn start(stage: Stage) {
    if stage == Stage::None {
        return;
    }
    subject::init();
    let address = TABLE.as_ptr() as u64;
    witness::announce_slot_table(address - KERNEL_BASE, size_of_val(&TABLE) as u64, TABLE.len() as u64);
}

/// Nothing here has a lock.
///
/// # Safety
/// The code that panicked on `_cpu` must never run again.
pub unsafe fn after_panic_of(_cpu: usize) {}

fn slot(args: &mut Args<'_>) -> Result<&'static TinySlot, CommandError> {
    let paddr = args.u64("paddr")?;
    let slot = TABLE.get((paddr / PAGE_SIZE) as usize);
    slot.ok_or_else(|| refused(Code::Range, format_args!("{paddr:#x}: no slot, there are {}", TABLE.len())))
}

fn take(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (slot, owner) = (slot(args)?, args.u64("owner")?);
    args.end()?;
    slot.take(owner).map_err(|holder| {
        reply.hex("v", holder);
        failed("Held")
    })
}

fn put(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let slot = slot(args)?;
    args.end()?;
    reply.hex("v", slot.put());
    Ok(())
}

fn turns(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let slot = slot(args)?;
    args.end()?;
    reply.hex("v", slot.turns());
    Ok(())
}
