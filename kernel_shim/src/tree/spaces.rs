//! Several address spaces that share frames, as a fork leaves them. The host plays the handler of their page faults.

use crate::arch::paging::phys_to_virt;
use crate::core_commands::lock_or_refuse;
use crate::core_commands::tables::{page, show_read, Fresh, Tables};
use crate::memory::frame::{FrameAllocOptions, FramePurpose};
use crate::memory_core::address;
use crate::memory_map;
use crate::sync::with_irqs_disabled;
use core::ptr;
use shim_parts::command::{failed, refused, Args, Code, Command, CommandError, CommandResult, Reply};
use shim_parts::memory_map::RegionKind;
use shim_parts::PAGE_SIZE;
use spin::{Mutex, MutexGuard};
use x86_64::structures::paging::{Mapper, PageTableFlags as Flags, PhysFrame as Frame};

pub const COMMANDS: &[Command] = &[
    Command::new("space.new", "<space>", "an empty address space", new),
    Command::new("space.map", "<space> <vaddr> <paddr> own|shared", "map a page, writable or for copy-on-write", map),
    Command::new(
        "space.change",
        "<space> <vaddr> own|shared",
        "make a page writable, or copied when written to",
        change,
    ),
    Command::new("space.unmap", "<space> <vaddr>", "unmap a page", unmap),
    Command::new("space.read", "<space> <vaddr> <offset>", "the CPU reads a byte of a page: v, or fault=1", read),
    Command::new(
        "space.write",
        "<space> <vaddr> <offset> <value>",
        "the CPU writes a byte of a page, or faults",
        write,
    ),
    Command::new("space.copy", "<space> <vaddr>", "give a page that is shared a frame of its own, a copy", copy),
    Command::new("space.free", "<space>", "give the frames of all tables of a space back", free),
];

const SPACES: usize = 4;
/// The kernel's mark in an entry for a page that is copied when first written to: a bit that the CPU leaves to software.
const SHARED: Flags = Flags::BIT_9;

static TABLES: [Mutex<Tables>; SPACES] = [const { Mutex::new(Tables::none()) }; SPACES];

fn space(args: &mut Args<'_>) -> Result<MutexGuard<'static, Tables>, CommandError> {
    let number = args.u64("space")?;
    let tables = usize::try_from(number).ok().and_then(|number| TABLES.get(number));
    let refusal = || refused(Code::Range, format_args!("space: expected a number below {SPACES}, got {number}"));
    lock_or_refuse(tables.ok_or_else(refusal)?)
}

/// The operand for a whole frame of RAM which the kernel itself does not use: of that below 1 MiB only its start did.
fn frame(args: &mut Args<'_>) -> Result<Frame, CommandError> {
    const LOW: u64 = 1 << 20;
    let paddr = address(args)?;
    let mut ram = memory_map::regions().iter().filter(|region| match region.kind {
        RegionKind::Ram => true,
        RegionKind::Boot => region.end <= LOW,
        _ => false,
    });
    let frame = Frame::from_start_address(paddr).ok().filter(|frame| {
        let (base, end) = (frame.start_address().as_u64(), frame.start_address().as_u64() + PAGE_SIZE);
        ram.any(|region| region.base <= base && end <= region.end)
    });
    frame.ok_or_else(|| refused(Code::Range, format_args!("{paddr:#x}: expected a whole frame of RAM")))
}

fn flags(args: &mut Args<'_>) -> Result<Flags, CommandError> {
    args.choice("own|shared", &[("own", Flags::PRESENT | Flags::WRITABLE), ("shared", Flags::PRESENT | SHARED)])
}

fn new(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let mut tables = args.only(space)?;
    reply.hex("root", tables.begin(Fresh::Wiped)?);
    Ok(())
}

fn map(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (mut tables, page, frame, flags) = (space(args)?, page(args)?, frame(args)?, flags(args)?);
    args.end()?;
    tables.map(page, frame, flags)
}

fn change(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (tables, page, flags) = (space(args)?, page(args)?, flags(args)?);
    args.end()?;
    // SAFETY: `page` is of the lower half, where no reference leads: the CPU reads and writes there by `probe` alone.
    let changed = unsafe { tables.mapper()?.update_flags(page, flags) };
    changed.map(|flush| flush.ignore()).map_err(|_| failed("NotMapped"))
}

fn unmap(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (tables, page) = (space(args)?, page(args)?);
    args.end()?;
    tables.unmap(page).map(drop)
}

/// The address of a byte of a page.
fn byte(args: &mut Args<'_>) -> Result<u64, CommandError> {
    let (page, offset) = (page(args)?, args.u64("offset")?);
    if offset >= PAGE_SIZE {
        return Err(refused(Code::Range, format_args!("offset: expected below {PAGE_SIZE}, got {offset}")));
    }
    Ok(page.start_address().as_u64() + offset)
}

fn read(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (tables, vaddr) = (space(args)?, byte(args)?);
    args.end()?;
    show_read(tables.read(vaddr)?, reply);
    Ok(())
}

fn write(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (tables, vaddr, value) = (space(args)?, byte(args)?, args.u8("value")?);
    args.end()?;
    reply.flag("fault", !tables.write(vaddr, value)?);
    Ok(())
}

fn copy(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (mut tables, page) = (space(args)?, page(args)?);
    args.end()?;
    let options = FrameAllocOptions::new().purpose(FramePurpose::UserData);
    let new = with_irqs_disabled(|token| options.allocate(token)).map_err(|_| failed("OutOfMemory"))?;
    let old = tables.unmap(page)?;
    let from = phys_to_virt(old.start_address().as_u64()) as *const u8;
    let to = phys_to_virt(new.start_address.as_u64()) as *mut u8;
    // SAFETY: both are RAM, one since `space.map` asked, one as the core's, and the HHDM maps it writable. Bytes need no alignment,
    // and `copy` allows that they are one. Nobody has a reference to either.
    unsafe { ptr::copy(from, to, PAGE_SIZE as usize) };
    tables.map(page, Frame::containing_address(new.start_address), Flags::PRESENT | Flags::WRITABLE)?;
    reply.hex("paddr", new.start_address.as_u64());
    Ok(())
}

fn free(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let mut tables = args.only(space)?;
    tables.free();
    Ok(())
}
