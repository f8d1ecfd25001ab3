//! Commands for the slot table, with the functions that take a physical address.

use super::{operand, slot};
use crate::memory::subject::{self as frame, MetaSlot};
use crate::memory::{boot_alloc, buddy, slot_table};
use crate::smp::call::{subject, subject_without_interrupts};
use core::ptr;
use shim_parts::boot_frames::Request;
use shim_parts::command::{refused, Args, Code, Command, CommandResult, Reply};
use shim_parts::PAGE_SIZE;
use x86_64::PhysAddr;

pub const COMMANDS: &[Command] = &[
    Command::new("array.size", "<ram>", "metadata_size_for", size),
    Command::new("array.init", "<total_ram>", "init_metadata_array", init),
    Command::new("array.get", "<paddr>", "get_meta", |args, reply| show_slot(args, reply, frame::get_meta)),
    Command::new("array.slot", "<paddr>", "get_meta_slot", |args, reply| show_slot(args, reply, frame::get_meta_slot)),
    Command::new("array.snapshot", "<paddr>", "frame_meta_debug_snapshot", snapshot),
    Command::new("array.matches", "<paddr> <gen>", "meta_generation_matches", matches),
    Command::new("array.poisoned", "<paddr> <order>", "block_phys_has_poison_guard", poisoned),
    Command::new("array.unmap", "<paddr>", "invoke_vtable_on_unmap", |args, _| {
        call_hook(args, frame::invoke_vtable_on_unmap)
    }),
    Command::new("array.lastref", "<paddr>", "invoke_vtable_on_last_ref", |args, _| {
        call_hook(args, frame::invoke_vtable_on_last_ref)
    }),
    Command::new("boot.log", "", "what the boot allocator was asked for", boot_log),
];

fn size(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let ram = args.only(|args| args.u64("ram"))?;
    reply.field("bytes", subject(|| frame::metadata_size_for(ram)));
    Ok(())
}

fn init(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let total_ram = args.only(|args| args.u64("total_ram"))?;
    if buddy::with(|buddy| buddy.is_populated()) {
        return Err(refused(Code::State, format_args!("the buddy uses the table there is, boot with init=none")));
    }
    slot_table::init(total_ram);
    Ok(())
}

fn show_slot(args: &mut Args<'_>, reply: &mut Reply, get: impl FnOnce(PhysAddr) -> &'static MetaSlot) -> CommandResult {
    let paddr = args.only(operand::paddr)?;
    reply.hex("slot", ptr::from_ref(subject(|| get(paddr))).addr());
    Ok(())
}

fn snapshot(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let paddr = args.only(operand::paddr)?;
    slot::show_snapshot(subject(|| frame::frame_meta_debug_snapshot(paddr)), reply);
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

/// Calls a hook of a frame, whose vtable bits may be followed.
fn call_hook(args: &mut Args<'_>, invoke: impl FnOnce(PhysAddr)) -> CommandResult {
    let paddr = args.only(operand::paddr)?;
    slot::require_followable(frame::get_meta(paddr))?;
    subject_without_interrupts(|| invoke(paddr));
    Ok(())
}

fn boot_log(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let allocator = boot_alloc::lock();
    for request in allocator.frames.log() {
        let Request { size, align, paddr } = *request;
        reply.data(format_args!("path=accessible size={size} align={align} paddr={paddr:#x}"));
    }
    reply.field("n", allocator.frames.log().count());
    Ok(())
}
