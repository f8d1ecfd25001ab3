//! Commands for the methods of `MetaSlot`, each under the method's own name.

use super::operand;
#[cfg(older)]
use crate::memory::subject::SlotMethods as _;
use crate::memory::subject::{FrameMetaVtable, MetaSlot, DEFAULT_FRAME_META_VTABLE};
use crate::memory::vtables;
use crate::smp::call::{subject, subject_without_interrupts};
use core::ptr;
use shim_parts::args::Args;
use shim_parts::command::{failed, refused, Code, Command, CommandError, CommandResult};
use shim_parts::reply::Reply;

/// The command of a method without arguments whose result goes into the reply as `v`.
macro_rules! result {
    ($method:ident, $reply:ident, $help:literal) => {
        Command::new(concat!("slot.", stringify!($method)), "<paddr>", $help, |args, reply| {
            let slot = only_slot(args)?;
            reply.$reply("v", subject(|| slot.$method()));
            Ok(())
        })
    };
}

/// The command of a method that returns nothing, with a number as argument or without. A kernel writes links, and stamps what
/// it frees, under the lock of its allocator: it calls these methods with interrupts disabled alone.
macro_rules! action {
    ($call:ident, $method:ident$(($argument:ident: $kind:ident))?, $help:literal) => {
        Command::new(
            concat!("slot.", stringify!($method)),
            concat!("<paddr>"$(, " <", stringify!($argument), ">")?),
            $help,
            |args, _| {
                let slot = operand::slot(args)?;
                $(let $argument = args.$kind(stringify!($argument))?;)?
                args.end()?;
                $call(|| slot.$method($($argument)?));
                Ok(())
            },
        )
    };
}

pub const COMMANDS: &[Command] = &[
    result!(next, hex, "the link to the next block"),
    action!(subject_without_interrupts, set_next(next: u64), "store the link to the next block"),
    result!(prev, hex, "the link to the block before"),
    action!(subject_without_interrupts, set_prev(prev: u64), "store the link to the block before"),
    result!(get_flags, hex, "the flags"),
    action!(subject, set_flags(flags: u32), "store the flags"),
    result!(get_order, hex, "the block's order"),
    action!(subject, set_order(order: u8), "store the block's order"),
    result!(is_cow, flag, "whether the flags say copy-on-write"),
    result!(is_dll, flag, "whether the flags say shared library"),
    result!(meta_aux_load, hex, "the auxiliary word"),
    action!(subject, meta_aux_store(value: u32), "store the auxiliary word"),
    result!(get_refcount, hex, "the reference count"),
    action!(subject, set_refcount(count: u32), "store the reference count"),
    action!(subject, reset_refcount, "store a reference count of 0"),
    action!(subject, inc_ref, "take a reference"),
    result!(dec_ref, hex, "drop a reference; v is the count before"),
    Command::new(
        "slot.cas_refcount",
        "<paddr> <expect> <new>",
        "swap the reference count if it is as expected",
        cas_refcount,
    ),
    result!(generation, hex, "the generation"),
    action!(subject, set_generation(generation: u32), "store the generation"),
    action!(subject, note_new_allocation_epoch, "begin a new life: vtable, guard, generation"),
    action!(subject_without_interrupts, reset_with_free_list_meta, "what a free does: vtable, guard"),
    result!(get_guard, hex, "the guard"),
    action!(subject, set_guard(bits: u32), "store the guard"),
    Command::new("slot.fetch_or_guard", "<paddr> <bits>", "add guard bits; v is the guard before", fetch_or_guard),
    result!(is_guard_poisoned, flag, "whether the guard says poisoned"),
    action!(subject, mark_poisoned, "poison guard and flags"),
    result!(vtable_bits, hex, "the vtable's address"),
    action!(subject, set_vtable_bits(bits: u64), "store the vtable's address"),
    Command::new("slot.vtable_ref", "<paddr>", "the vtable to use", vtable_ref),
    Command::new("slot.try_vtable_ref", "<paddr>", "the vtable to use, if the bits make sense", try_vtable_ref),
    Command::new("slot.debug_snapshot", "<paddr>", "generation, guard, vtable", debug_snapshot),
];

fn only_slot(args: &mut Args<'_>) -> Result<&'static MetaSlot, CommandError> {
    let slot = operand::slot(args)?;
    args.end()?;
    Ok(slot)
}

fn cas_refcount(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let slot = operand::slot(args)?;
    let (expect, new) = (args.u32("expect")?, args.u32("new")?);
    args.end()?;
    let swapped = subject(|| slot.cas_refcount(expect, new));
    reply.hex("v", swapped.unwrap_or_else(|found| found));
    swapped.map(drop).map_err(|_| failed("Err"))
}

fn fetch_or_guard(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let slot = operand::slot(args)?;
    let bits = args.u32("bits")?;
    args.end()?;
    reply.hex("v", subject(|| slot.fetch_or_guard(bits)));
    Ok(())
}

fn debug_snapshot(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let slot = only_slot(args)?;
    let (generation, guard, vtable) = subject(|| slot.debug_snapshot());
    reply.hex("generation", generation);
    reply.hex("guard", guard);
    reply.hex("vtable", vtable);
    Ok(())
}

fn vtable_ref(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let slot = slot_with_vtable(args)?;
    describe(subject(|| slot.vtable_ref()), reply);
    Ok(())
}

fn try_vtable_ref(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let slot = slot_with_vtable(args)?;
    let found = subject(|| slot.try_vtable_ref());
    reply.flag("some", found.is_some());
    found.into_iter().for_each(|vtable| describe(vtable, reply));
    Ok(())
}

fn slot_with_vtable(args: &mut Args<'_>) -> Result<&'static MetaSlot, CommandError> {
    let slot = only_slot(args)?;
    require_followable(slot)?;
    Ok(slot)
}

/// Refuses to let the subject follow an aligned address at which there is no vtable. It would follow it.
pub fn require_followable(slot: &MetaSlot) -> CommandResult {
    let bits = slot.vtable_bits();
    if vtables::may_be_followed(bits) {
        return Ok(());
    }
    Err(refused(Code::Slot, format_args!("vtable bits {bits:#x}: no vtable there, see vt.addr")))
}

fn describe(vtable: &'static FrameMetaVtable, reply: &mut Reply) {
    reply.hex("addr", ptr::from_ref(vtable).addr());
    reply.hex("on_last_ref", vtable.on_last_ref.map_or(0, |hook| hook as usize));
    reply.hex("on_unmap", vtable.on_unmap.map_or(0, |hook| hook as usize));
    reply.flag("default", ptr::eq(vtable, &DEFAULT_FRAME_META_VTABLE));
}
