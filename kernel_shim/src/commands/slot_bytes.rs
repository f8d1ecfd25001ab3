//! Commands that look at slots, or change them, past the subject.

use super::operand;
use crate::console::args::Args;
use crate::console::command::{refused, Code, Command, CommandResult};
use crate::console::reply::Reply;
use crate::memory::slot_table::{self, SLOT_BYTES};
use crate::memory::subject::MetaSlot;
use core::arch::asm;
use core::mem::MaybeUninit;

pub const COMMANDS: &[Command] = &[
    Command { name: "slot.new", usage: "", help: "the bytes of MetaSlot::new()", run: new },
    Command { name: "slot.peek", usage: "<paddr>", help: "the bytes of a slot", run: peek },
    Command {
        name: "slot.poke",
        usage: "<paddr> <offset> <hex>",
        help: "overwrite bytes of a slot",
        run: poke,
    },
];

fn new(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    let mut slot = MaybeUninit::<MetaSlot>::uninit();
    // Another value than any that a new slot has, to show bytes that `new` leaves alone.
    // SAFETY: the place of one slot, of this function alone.
    unsafe { slot.as_mut_ptr().write_bytes(0xa5, 1) };
    slot.write(MetaSlot::new());
    let mut bytes = [0; SLOT_BYTES];
    // To Rust, padding of the slot holds no value; to the machine it holds some byte like any other.
    // SAFETY: reads the bytes of `slot`, writes as many of `bytes`, both of this function alone, forward, as the
    // direction flag is clear in Rust code (x86-64 psABI 3.2.1). What `bytes` then holds is the CPU's doing, thus
    // initialized whatever the compiler thinks of its source.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") SLOT_BYTES => _,
            inout("rsi") slot.as_ptr() => _,
            inout("rdi") bytes.as_mut_ptr() => _,
            options(nostack, preserves_flags),
        );
    }
    reply.bytes("bytes", &bytes);
    Ok(())
}

fn peek(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let pfn = operand::pfn(args)?;
    args.end()?;
    reply.bytes("bytes", &slot_table::peek(pfn));
    Ok(())
}

fn poke(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let pfn = operand::pfn(args)?;
    let offset = args.u64("offset")?;
    let mut buffer = [0; SLOT_BYTES];
    let bytes = args.hex("hex", &mut buffer)?;
    args.end()?;
    if offset > (SLOT_BYTES - bytes.len()) as u64 {
        let length = bytes.len();
        return Err(refused(
            Code::Range,
            format_args!("{length} bytes at {offset}: a slot has {SLOT_BYTES}"),
        ));
    }
    slot_table::poke(pfn, offset as usize, bytes);
    Ok(())
}
