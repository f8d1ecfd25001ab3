//! Commands that show or change the bytes of slots without the subject's functions.

use super::operand;
use crate::memory::slot_table::{self, SLOT_BYTES};
use crate::memory::subject::MetaSlot;
use crate::smp::call::subject;
use core::arch::asm;
use core::mem::MaybeUninit;
use shim_parts::command::{refused, Args, Code, Command, CommandResult, Reply};

pub const COMMANDS: &[Command] = &[
    Command::new("slot.new", "", "the bytes of MetaSlot::new()", new),
    Command::new("slot.peek", "<paddr>", "the bytes of a slot", peek),
    Command::new("slot.poke", "<paddr> <offset> <hex>", "overwrite bytes of a slot", poke),
];

fn new(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let mut slot = MaybeUninit::<MetaSlot>::uninit();
    // No byte of a new slot has this value, so it shows which bytes `new` does not write.
    // SAFETY: writes the place of one slot, which is aligned for it, and which only this function knows.
    unsafe { slot.as_mut_ptr().write_bytes(0xa5, 1) };
    subject(|| _ = slot.write(MetaSlot::new()));
    let mut bytes = [0; SLOT_BYTES];
    // Padding of the slot holds no value in Rust, but a byte like any other in the machine.
    // SAFETY: reads the bytes of `slot` and writes as many of `bytes`. Only this function knows both. The direction flag is
    // clear in Rust code (x86-64 psABI 3.2.1). The CPU wrote `bytes`, so they are initialized, whatever their source was.
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
    let pfn = args.only(operand::pfn)?;
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
        return Err(refused(Code::Range, format_args!("{length} bytes at {offset}: a slot has {SLOT_BYTES}")));
    }
    slot_table::poke(pfn, offset as usize, bytes);
    Ok(())
}
