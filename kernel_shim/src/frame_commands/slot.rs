//! Commands for the methods of `MetaSlot`, each under the method's own name.

use super::operand;
#[cfg(older)]
use crate::memory::subject::SlotMethods as _;
use crate::memory::subject::{FrameMetaVtable, MetaSlot, DEFAULT_FRAME_META_VTABLE};
use crate::memory::vtables;
use crate::smp::call::{subject, subject_without_interrupts};
use core::ptr;
use shim_parts::command::{failed, refused, Args, Code, Command, CommandError, CommandResult, Reply};

/// The command of a method, with a number as argument or without. Its result, if there is one, goes into the reply as `v`. A kernel
/// writes links, and stamps what it frees, under the lock of its allocator: it calls these methods with interrupts disabled alone.
macro_rules! method {
    ($call:ident, $method:ident$(($argument:ident: $kind:ident))? $(-> $shown:ident)?, $help:literal) => {
        Command::new(
            concat!("slot.", stringify!($method)),
            concat!("<paddr>"$(, " <", stringify!($argument), ">")?),
            $help,
            |args, _reply| {
                let slot = operand::slot(args)?;
                $(let $argument = args.$kind(stringify!($argument))?;)?
                args.end()?;
                let _result = $call(|| slot.$method($($argument)?));
                $(_reply.$shown("v", _result);)?
                Ok(())
            },
        )
    };
}

pub const COMMANDS: &[Command] = &[
    method!(subject, next -> hex, "the link to the next block"),
    method!(subject_without_interrupts, set_next(next: u64), "store the link to the next block"),
    method!(subject, prev -> hex, "the link to the block before"),
    method!(subject_without_interrupts, set_prev(prev: u64), "store the link to the block before"),
    method!(subject, get_flags -> hex, "the flags"),
    method!(subject, set_flags(flags: u32), "store the flags"),
    method!(subject, get_order -> hex, "the block's order"),
    method!(subject, set_order(order: u8), "store the block's order"),
    method!(subject, is_cow -> flag, "whether the flags say copy-on-write"),
    method!(subject, is_dll -> flag, "whether the flags say shared library"),
    method!(subject, meta_aux_load -> hex, "the auxiliary word"),
    method!(subject, meta_aux_store(value: u32), "store the auxiliary word"),
    method!(subject, get_refcount -> hex, "the reference count"),
    method!(subject, set_refcount(count: u32), "store the reference count"),
    method!(subject, reset_refcount, "store a reference count of 0"),
    method!(subject, inc_ref, "take a reference"),
    method!(subject, dec_ref -> hex, "drop a reference; v is the count before"),
    Command::new(
        "slot.cas_refcount",
        "<paddr> <expect> <new>",
        "swap the reference count if it is as expected",
        cas_refcount,
    ),
    method!(subject, generation -> hex, "the generation"),
    method!(subject, set_generation(generation: u32), "store the generation"),
    method!(subject, note_new_allocation_epoch, "begin a new life: vtable, guard, generation"),
    method!(subject_without_interrupts, reset_with_free_list_meta, "what a free does: vtable, guard"),
    method!(subject, get_guard -> hex, "the guard"),
    method!(subject, set_guard(bits: u32), "store the guard"),
    method!(subject, fetch_or_guard(bits: u32) -> hex, "add guard bits; v is the guard before"),
    method!(subject, is_guard_poisoned -> flag, "whether the guard says poisoned"),
    method!(subject, mark_poisoned, "poison guard and flags"),
    method!(subject, vtable_bits -> hex, "the vtable's address"),
    method!(subject, set_vtable_bits(bits: u64), "store the vtable's address"),
    Command::new("slot.vtable_ref", "<paddr>", "the vtable to use", vtable_ref),
    Command::new("slot.try_vtable_ref", "<paddr>", "the vtable to use, if the bits make sense", try_vtable_ref),
    Command::new("slot.debug_snapshot", "<paddr>", "generation, guard, vtable", debug_snapshot),
];

fn cas_refcount(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let slot = operand::slot(args)?;
    let (expect, new) = (args.u32("expect")?, args.u32("new")?);
    args.end()?;
    let swapped = subject(|| slot.cas_refcount(expect, new));
    reply.hex("v", swapped.unwrap_or_else(|found| found));
    swapped.map(drop).map_err(|_| failed("Err"))
}

fn debug_snapshot(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let slot = args.only(operand::slot)?;
    show_snapshot(subject(|| slot.debug_snapshot()), reply);
    Ok(())
}

pub fn show_snapshot((generation, guard, vtable): (u32, u32, u64), reply: &mut Reply) {
    reply.hex("generation", generation);
    reply.hex("guard", guard);
    reply.hex("vtable", vtable);
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
    let slot = args.only(operand::slot)?;
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
