//! Arguments that name memory. They are checked before the subject or the CPU gets them.

use crate::memory::buddy;
use crate::memory::subject::{self as frame, AllocError, FramePurpose, MetaSlot};
use crate::memory::{boot_alloc, slot_table};
pub use crate::memory_core::address as paddr;
use shim_parts::command::{failed, refused, Args, Code, CommandError};
use shim_parts::memory_map::RegionKind;
use shim_parts::zone::{Migratetype, MAX_ORDER};
use shim_parts::{paddr_to_pfn, pfn_to_paddr};
use x86_64::PhysAddr;

/// The number of a frame that has a slot.
pub fn pfn(args: &mut Args<'_>) -> Result<u64, CommandError> {
    let paddr = paddr(args)?.as_u64();
    let frames = slot_table::frames();
    if frames == 0 {
        return Err(refused(Code::State, format_args!("there is no slot table, use array.init")));
    }
    match paddr_to_pfn(paddr) {
        pfn if pfn < frames => Ok(pfn),
        _ => Err(refused(Code::Range, format_args!("{paddr:#x}: no slot, the table covers {frames} frames"))),
    }
}

/// The slot of an address, from the subject.
pub fn slot(args: &mut Args<'_>) -> Result<&'static MetaSlot, CommandError> {
    Ok(frame::get_meta(PhysAddr::new(pfn_to_paddr(pfn(args)?))))
}

/// An order that a block can have.
pub fn order(args: &mut Args<'_>) -> Result<u8, CommandError> {
    match args.u8("order")? {
        order if order as usize <= MAX_ORDER => Ok(order),
        order => Err(refused(Code::Range, format_args!("order {order}: expected at most {MAX_ORDER}"))),
    }
}

/// Address and order of a block that the buddy can have handed out.
pub fn block(args: &mut Args<'_>) -> Result<(PhysAddr, u8), CommandError> {
    let (paddr, order) = (paddr(args)?, order(args)?);
    require_block(paddr, order)?;
    Ok((paddr, order))
}

/// Refuses a block that the buddy cannot have handed out.
pub fn require_block(paddr: PhysAddr, order: u8) -> Result<(), CommandError> {
    require_buddy()?;
    let none = || refused(Code::Range, format_args!("{paddr:#x}: no block of order {order} of the buddy's"));
    buddy::with(|buddy| buddy.block(paddr.as_u64(), order)).map(drop).ok_or_else(none)
}

pub fn migratetype(args: &mut Args<'_>) -> Result<Migratetype, CommandError> {
    args.choice("movable|unmovable", &Migratetype::ALL.map(|migratetype| (migratetype.name(), migratetype)))
}

/// `pagetable`, `kernel`, `user` or `custom:<flags>`.
pub fn purpose(word: &str) -> Result<FramePurpose, CommandError> {
    match word.split_once(':') {
        None if word == "pagetable" => Ok(FramePurpose::PageTable),
        None if word == "kernel" => Ok(FramePurpose::KernelData),
        None if word == "user" => Ok(FramePurpose::UserData),
        Some(("custom", flags)) => Ok(FramePurpose::Custom(Args::new(flags).u32("flags")?)),
        _ => Err(refused(Code::Usage, format_args!("{word}: expected pagetable, kernel, user or custom:<n>"))),
    }
}

/// Refuses bytes that are not all free RAM, because a stray write must not hit the kernel or the slots.
pub fn require_ram(paddr: PhysAddr, length: u64) -> Result<(), CommandError> {
    let base = paddr.as_u64();
    let inside = base.checked_add(length).is_some_and(|end| {
        let map = boot_alloc::current_map();
        map.regions().iter().any(|region| region.kind == RegionKind::Ram && region.base <= base && end <= region.end)
    });
    let outside = || refused(Code::Range, format_args!("{length:#x} bytes at {base:#x}: not all of them usable RAM"));
    inside.then_some(()).ok_or_else(outside)
}

pub fn require_buddy() -> Result<(), CommandError> {
    let empty = || refused(Code::State, format_args!("the buddy manages nothing, boot with init=full"));
    buddy::with(|buddy| buddy.is_populated()).then_some(()).ok_or_else(empty)
}

/// The subject's error, by its variant's name.
pub fn alloc_failed(error: AllocError) -> CommandError {
    failed(match error {
        AllocError::OutOfMemory => "OutOfMemory",
        AllocError::InvalidOrder => "InvalidOrder",
        AllocError::InvalidAddress => "InvalidAddress",
        // A subject with a fourth kind breaks a clause. It must compile for the check to find that.
        #[allow(unreachable_patterns)]
        _ => "Err",
    })
}
