//! Page tables in frames of the core, made as a kernel makes them, and what the CPU finds through them.

use super::lock_or_refuse;
use super::tables::{page, show_read, Fresh, Tables};
use crate::memory_core::address;
use shim_parts::command::{Args, Command, CommandResult, Reply};
use spin::Mutex;
use x86_64::structures::paging::{PageTableFlags, PhysFrame as Frame};

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
    reply.hex("root", lock_or_refuse(&TABLES)?.begin(fresh)?);
    Ok(())
}

fn map(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (page, frame) = (page(args)?, Frame::containing_address(address(args)?));
    args.end()?;
    lock_or_refuse(&TABLES)?.map(page, frame, PageTableFlags::PRESENT | PageTableFlags::WRITABLE)
}

fn unmap(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let page = args.only(page)?;
    lock_or_refuse(&TABLES)?.unmap(page).map(drop)
}

fn probe_byte(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let page = args.only(page)?;
    show_read(lock_or_refuse(&TABLES)?.read(page.start_address().as_u64())?, reply);
    Ok(())
}

fn free(_args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    lock_or_refuse(&TABLES)?.free();
    Ok(())
}
