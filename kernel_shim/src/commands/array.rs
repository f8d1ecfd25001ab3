//! Commands for the slot table, with the functions that take a physical address.

use super::{operand, slot};
use crate::console::args::Args;
use crate::console::command::{refused, Code, Command, CommandError, CommandResult};
use crate::console::reply::Reply;
use crate::memory::subject::{self as frame, MetaSlot, PAGE_SIZE};
use crate::memory::{boot_alloc, buddy, slot_table};
use crate::smp::call::subject;
use core::ptr;
use x86_64::PhysAddr;

pub const COMMANDS: &[Command] = &[
    Command { name: "array.size", usage: "<ram>", help: "metadata_size_for", run: size },
    Command { name: "array.init", usage: "<total_ram>", help: "init_metadata_array", run: init },
    Command { name: "array.get", usage: "<paddr>", help: "get_meta", run: get },
    Command { name: "array.slot", usage: "<paddr>", help: "get_meta_slot", run: get_slot },
    Command { name: "array.snapshot", usage: "<paddr>", help: "frame_meta_debug_snapshot", run: snapshot },
    Command { name: "array.matches", usage: "<paddr> <gen>", help: "meta_generation_matches", run: matches },
    Command {
        name: "array.poisoned",
        usage: "<paddr> <order>",
        help: "block_phys_has_poison_guard",
        run: poisoned,
    },
    Command { name: "array.unmap", usage: "<paddr>", help: "invoke_vtable_on_unmap", run: unmap },
    Command { name: "array.lastref", usage: "<paddr>", help: "invoke_vtable_on_last_ref", run: last_ref },
    Command { name: "boot.log", usage: "", help: "what the boot allocator was asked for", run: boot_log },
];

fn only_paddr(args: &mut Args<'_>) -> Result<PhysAddr, CommandError> {
    let paddr = operand::paddr(args)?;
    args.end()?;
    Ok(paddr)
}

fn size(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let ram = args.u64("ram")?;
    args.end()?;
    reply.field("bytes", subject(|| frame::metadata_size_for(ram)));
    Ok(())
}

fn init(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let total_ram = args.u64("total_ram")?;
    args.end()?;
    if buddy::with(|buddy| buddy.is_populated()) {
        return Err(refused(
            Code::State,
            format_args!("the buddy uses the table there is, boot with init=none"),
        ));
    }
    slot_table::init(total_ram);
    Ok(())
}

fn get(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let paddr = only_paddr(args)?;
    reply_address(subject(|| frame::get_meta(paddr)), reply)
}

fn get_slot(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let paddr = only_paddr(args)?;
    reply_address(subject(|| frame::get_meta_slot(paddr)), reply)
}

fn reply_address(slot: &MetaSlot, reply: &mut Reply) -> CommandResult {
    reply.hex("slot", ptr::from_ref(slot).addr());
    Ok(())
}

fn snapshot(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let paddr = only_paddr(args)?;
    let (generation, guard, vtable) = subject(|| frame::frame_meta_debug_snapshot(paddr));
    reply.hex("generation", generation);
    reply.hex("guard", guard);
    reply.hex("vtable", vtable);
    Ok(())
}

fn matches(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (paddr, generation) = (operand::paddr(args)?, args.u32("gen")?);
    args.end()?;
    reply.flag("v", subject(|| frame::meta_generation_matches(paddr, generation)));
    Ok(())
}

fn poisoned(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (paddr, order) = (operand::paddr(args)?, operand::order(args)?);
    args.end()?;
    let end = paddr.as_u64() + (PAGE_SIZE << order);
    if PhysAddr::try_new(end - 1).is_err() {
        return Err(refused(Code::Range, format_args!("{paddr:#x}: a block of order {order} ends nowhere")));
    }
    reply.flag("v", subject(|| frame::block_phys_has_poison_guard(paddr.as_u64(), order)));
    Ok(())
}

/// The address of a frame whose hooks can be called: where its vtable bits lead must be known.
fn hooked_paddr(args: &mut Args<'_>) -> Result<PhysAddr, CommandError> {
    let paddr = only_paddr(args)?;
    slot::require_followable(frame::get_meta(paddr))?;
    Ok(paddr)
}

fn unmap(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let paddr = hooked_paddr(args)?;
    subject(|| frame::invoke_vtable_on_unmap(paddr));
    Ok(())
}

fn last_ref(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let paddr = hooked_paddr(args)?;
    subject(|| frame::invoke_vtable_on_last_ref(paddr));
    Ok(())
}

fn boot_log(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    let allocator = boot_alloc::get().lock();
    for request in allocator.log() {
        let boot_alloc::Request { size, align, paddr } = *request;
        reply.data(format_args!("path=accessible size={size} align={align} paddr={paddr:#x}"));
    }
    reply.field("n", allocator.log().count());
    Ok(())
}
