//! The command that prints every constant of the subject.

#[cfg(older)]
use crate::memory::subject::SlotMethods as _;
use crate::memory::subject::{
    frame_flags, meta_guard, FrameMeta, FrameMetaVtable, FreeListLink, MetaSlot, PhysFrame, FRAME_META_ALIGN,
    FRAME_META_LINK_NONE, FRAME_META_SIZE, META_SLOT_REFCOUNT_BYTE_OFFSET, PAGE_SIZE, REFCOUNT_UNUSED,
};
use core::any::TypeId;
use shim_parts::args::Args;
use shim_parts::command::{Command, CommandResult};
use shim_parts::reply::Reply;
use shim_parts::zone::MAX_ORDER;

pub const COMMANDS: &[Command] = &[Command::new("const", "", "the subject's constants, sizes, alignments", constants)];

fn constants(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    for (name, value) in numbers() {
        reply.hex(name, value);
    }
    for (size_key, size, align_key, align) in sizes() {
        reply.field(size_key, size);
        reply.field(align_key, align);
    }
    reply.flag("same.FrameMeta", TypeId::of::<FrameMeta>() == TypeId::of::<MetaSlot>());
    Ok(())
}

fn numbers() -> [(&'static str, u64); 20] {
    [
        ("PAGE_SIZE", PAGE_SIZE),
        ("FRAME_META_SIZE", FRAME_META_SIZE as u64),
        ("FRAME_META_ALIGN", FRAME_META_ALIGN as u64),
        ("FRAME_META_LINK_NONE", FRAME_META_LINK_NONE),
        ("REFCOUNT_UNUSED", u64::from(REFCOUNT_UNUSED)),
        ("META_SLOT_REFCOUNT_BYTE_OFFSET", META_SLOT_REFCOUNT_BYTE_OFFSET as u64),
        ("MetaSlot::REFCOUNT_BYTE_OFFSET", MetaSlot::REFCOUNT_BYTE_OFFSET as u64),
        ("MAX_ORDER", MAX_ORDER as u64),
        ("meta_guard::NONE", u64::from(meta_guard::NONE)),
        ("meta_guard::KERNEL_ONLY", u64::from(meta_guard::KERNEL_ONLY)),
        ("meta_guard::POISONED", u64::from(meta_guard::POISONED)),
        ("frame_flags::COW", u64::from(frame_flags::COW)),
        ("frame_flags::DLL", u64::from(frame_flags::DLL)),
        ("frame_flags::ANONYMOUS", u64::from(frame_flags::ANONYMOUS)),
        ("frame_flags::ALLOCATED", u64::from(frame_flags::ALLOCATED)),
        ("frame_flags::FREE", u64::from(frame_flags::FREE)),
        ("frame_flags::KERNEL", u64::from(frame_flags::KERNEL)),
        ("frame_flags::USER", u64::from(frame_flags::USER)),
        ("frame_flags::POISONED", u64::from(frame_flags::POISONED)),
        ("frame_flags::MOVABLE", u64::from(frame_flags::MOVABLE)),
    ]
}

/// Twice a key with its value, for each type.
fn sizes() -> [(&'static str, usize, &'static str, usize); 4] {
    [
        ("size.MetaSlot", size_of::<MetaSlot>(), "align.MetaSlot", align_of::<MetaSlot>()),
        ("size.FrameMetaVtable", size_of::<FrameMetaVtable>(), "align.FrameMetaVtable", align_of::<FrameMetaVtable>()),
        ("size.FreeListLink", size_of::<FreeListLink>(), "align.FreeListLink", align_of::<FreeListLink>()),
        ("size.PhysFrame", size_of::<PhysFrame>(), "align.PhysFrame", align_of::<PhysFrame>()),
    ]
}
