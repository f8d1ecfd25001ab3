//! Commands that look at slots, or change them, past the subject.

use super::operand;
use crate::console::args::Args;
use crate::console::command::{refused, Code, Command, CommandResult};
use crate::console::reply::Reply;
use crate::memory::frame::MetaSlot;
use crate::memory::slot_table::{self, SLOT_BYTES};
use core::hint::black_box;
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
    // Another value than any that a new slot has, to show bytes that `new` leaves alone.
    let mut bytes = [MaybeUninit::new(0xa5_u8); SLOT_BYTES];
    let place = bytes.as_mut_ptr().cast::<MetaSlot>();
    // SAFETY: as large as a slot, on the stack of this function; `write_unaligned` asks for no alignment.
    unsafe { place.write_unaligned(MetaSlot::new()) };
    // SAFETY: `u8` is valid for any initialized byte; all were initialized above, and where the type has
    // padding the compiler must assume, behind `black_box`, that they were written since.
    let bytes = black_box(bytes).map(|byte| unsafe { byte.assume_init() });
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
