//! Commands that talk to the buddy without the subject in between.

use super::operand;
use crate::memory::buddy;
use crate::memory::subject::PhysFrame;
use crate::sync::with_irqs_disabled;
use shim_parts::buddy::log::Event;
use shim_parts::command::{refused, Args, Code, Command, CommandResult, Reply};
use shim_parts::zone::Migratetype;

pub const COMMANDS: &[Command] = &[
    Command::new("buddy.alloc", "<order> movable|unmovable", "take a block, without claiming it", alloc),
    Command::new("buddy.free", "<paddr> <order>", "give a block back, without hooks", free),
    Command::new("buddy.drain", "", "empty the caches of all CPUs", drain),
    Command::new("buddy.cache", "", "show the caches of all CPUs", cache),
    Command::new("buddy.log", "[clear]", "show the last requests, or forget them", log),
];

fn alloc(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (order, migratetype) = (args.u8("order")?, operand::migratetype(args)?);
    args.end()?;
    operand::require_buddy()?;
    let block = with_irqs_disabled(|token| buddy::alloc_migratetype(token, order, migratetype));
    reply.hex("paddr", block.map_err(operand::alloc_failed)?.start_address);
    Ok(())
}

fn free(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (start_address, order) = args.only(operand::block)?;
    with_irqs_disabled(|token| buddy::free(token, PhysFrame { start_address }, order));
    Ok(())
}

fn drain(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    operand::require_buddy()?;
    reply.field("n", buddy::with(|buddy| buddy.drain()));
    Ok(())
}

fn cache(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let mut count = 0;
    buddy::with(|buddy| {
        for (cpu, caches) in buddy.state.caches.iter().enumerate() {
            for migratetype in Migratetype::ALL {
                for paddr in caches[migratetype.index()].frames() {
                    let mt = migratetype.name();
                    reply.data(format_args!("cpu={cpu} mt={mt} paddr={paddr:#x}"));
                    count += 1;
                }
            }
        }
    });
    reply.field("n", count);
    Ok(())
}

fn log(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    match args.next_word() {
        None => show_log(reply),
        Some("clear") => {
            args.end()?;
            buddy::with(|buddy| buddy.log.clear());
        }
        Some(other) => return Err(refused(Code::Usage, format_args!("{other}: expected clear or nothing"))),
    }
    Ok(())
}

fn show_log(reply: &mut Reply) {
    let mut count = 0;
    buddy::with(|buddy| {
        for event in buddy.log.iter() {
            let Event { operation, order, migratetype, paddr, cached } = *event;
            let (op, mt, cached) = (operation.name(), migratetype.name(), u8::from(cached));
            reply.data(format_args!("op={op} order={order} mt={mt} paddr={paddr:#x} cached={cached}"));
            count += 1;
        }
    });
    reply.field("n", count);
}
