//! Page tables in frames of the core, made as a kernel makes them, and what the CPU finds through them.

use super::tables::{not_mapped, page, Fresh, Tables};
use shim_parts::command::{failed, Args, Command, CommandResult, Reply};
use spin::Mutex;
use x86_64::structures::paging::{Mapper, PageTableFlags, PhysFrame as Frame};
use x86_64::PhysAddr;

pub const COMMANDS: &[Command] = &[
    Command::new("tables.new", "plain|late", "an empty top table; late calls zeroed(false) after the purpose", new),
    Command::new("tables.map", "<vaddr> <paddr>", "map a page", map),
    Command::new("tables.unmap", "<vaddr>", "unmap a page", unmap),
    Command::new("tables.probe", "<vaddr>", "read a byte through the tables: v, or fault=1", probe_byte),
    Command::new("tables.free", "", "give the frames of all tables back", free),
];

static TABLES: Mutex<Tables> = Mutex::new(Tables::none());

fn new(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let fresh = args.only(|args| args.choice("plain|late", &[("plain", Fresh::Plain), ("late", Fresh::Late)]))?;
    reply.hex("root", TABLES.lock().begin(fresh)?);
    Ok(())
}

fn map(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (page, paddr) = (page(args)?, args.u64("paddr")?);
    args.end()?;
    let mut tables = TABLES.lock();
    let mut mapper = tables.mapper()?;
    let to = Frame::containing_address(PhysAddr::new_truncate(paddr));
    // SAFETY: `page` is of the lower half, where no reference leads: the CPU reads there by `probe` alone.
    let mapped = unsafe { mapper.map_to(page, to, PageTableFlags::PRESENT | PageTableFlags::WRITABLE, &mut *tables) };
    // The tables are not in use now.
    mapped.map(|flush| flush.ignore()).map_err(not_mapped)
}

fn unmap(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let page = args.only(page)?;
    let unmapped = TABLES.lock().mapper()?.unmap(page);
    unmapped.map(|(_, flush)| flush.ignore()).map_err(|_| failed("NotMapped"))
}

fn probe_byte(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let page = args.only(page)?;
    let found = TABLES.lock().read(page.start_address().as_u64())?;
    reply.flag("fault", found.is_none());
    reply.field("v", found.unwrap_or(0));
    Ok(())
}

fn free(_args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    TABLES.lock().free();
    Ok(())
}
