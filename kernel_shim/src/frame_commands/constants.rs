//! The command that prints every constant of the subject.

#[cfg(older)]
use crate::memory::subject::SlotMethods as _;
use crate::memory::subject::{
    frame_flags, meta_guard, FrameMeta, FrameMetaVtable, FreeListLink, MetaSlot, PhysFrame, FRAME_META_ALIGN,
    FRAME_META_LINK_NONE, FRAME_META_SIZE, META_SLOT_REFCOUNT_BYTE_OFFSET, PAGE_SIZE, REFCOUNT_UNUSED,
};
use core::any::TypeId;
use shim_parts::command::{Args, Command, CommandResult, Reply};
use shim_parts::zone::MAX_ORDER;

pub const COMMANDS: &[Command] = &[Command::new("const", "", "the subject's constants, sizes, alignments", constants)];

fn constants(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    macro_rules! numbers {
        ($($name:path)*) => { $(reply.hex(stringify!($name), $name as u64);)* };
    }
    macro_rules! sizes {
        ($($name:ident)*) => { $(
            reply.field(concat!("size.", stringify!($name)), size_of::<$name>());
            reply.field(concat!("align.", stringify!($name)), align_of::<$name>());
        )* };
    }
    numbers! {
        PAGE_SIZE FRAME_META_SIZE FRAME_META_ALIGN FRAME_META_LINK_NONE REFCOUNT_UNUSED META_SLOT_REFCOUNT_BYTE_OFFSET
        MetaSlot::REFCOUNT_BYTE_OFFSET MAX_ORDER meta_guard::NONE meta_guard::KERNEL_ONLY meta_guard::POISONED
        frame_flags::COW frame_flags::DLL frame_flags::ANONYMOUS frame_flags::ALLOCATED frame_flags::FREE
        frame_flags::KERNEL frame_flags::USER frame_flags::POISONED frame_flags::MOVABLE
    }
    sizes! { MetaSlot FrameMetaVtable FreeListLink PhysFrame }
    reply.flag("same.FrameMeta", TypeId::of::<FrameMeta>() == TypeId::of::<MetaSlot>());
    Ok(())
}
