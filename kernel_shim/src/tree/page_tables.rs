//! Page tables in frames of the core, made as a kernel makes them, and what the CPU finds through them.

use crate::arch::{paging, probe};
use crate::memory::{buddy, frame};
use crate::sync::with_irqs_disabled;
use frame::{FrameAllocOptions, FramePurpose, PhysFrame};
use shim_parts::args::Args;
use shim_parts::command::{failed, refused, Code, Command, CommandError, CommandResult};
use shim_parts::reply::Reply;
use spin::Mutex;
use x86_64::registers::control::Cr3;
use x86_64::structures::paging::mapper::OffsetPageTable;
use x86_64::structures::paging::{
    FrameAllocator, Mapper, Page, PageTable, PageTableFlags, PhysFrame as Frame, Size4KiB,
};
use x86_64::{PhysAddr, VirtAddr};

pub const COMMANDS: &[Command] = &[
    Command::new("tables.new", "plain|late", "an empty top table; late calls zeroed(false) after the purpose", new),
    Command::new("tables.map", "<vaddr> <paddr>", "map a page", map),
    Command::new("tables.unmap", "<vaddr>", "unmap a page", unmap),
    Command::new("tables.probe", "<vaddr>", "read a byte through the tables: v, or fault=1", probe_byte),
    Command::new("tables.free", "", "give the frames of all tables back", free),
];

/// The entries of a top table below the kernel's half.
const LOWER_HALF: usize = 256;
const MOST: usize = 256;

/// The tables of the present root, which comes first.
struct Tables {
    frames: [u64; MOST],
    count: usize,
    /// Whether the builder calls `zeroed(false)` last.
    late: bool,
}

static TABLES: Mutex<Tables> = Mutex::new(Tables { frames: [0; MOST], count: 0, late: false });

impl Tables {
    fn root(&self) -> Result<u64, CommandError> {
        match self.count {
            0 => Err(refused(Code::State, format_args!("expected tables.new before"))),
            _ => Ok(self.frames[0]),
        }
    }

    fn take(&mut self) -> Option<u64> {
        if self.count == MOST {
            return None;
        }
        let options = FrameAllocOptions::new().purpose(FramePurpose::PageTable);
        let options = if self.late { options.zeroed(false) } else { options };
        let paddr = with_irqs_disabled(|token| options.allocate(token)).ok()?.start_address.as_u64();
        self.frames[self.count] = paddr;
        self.count += 1;
        Some(paddr)
    }

    /// The tables as the crate `x86_64` changes them.
    fn mapper(&self) -> Result<OffsetPageTable<'static>, CommandError> {
        let root = paging::phys_to_virt(self.root()?) as *mut PageTable;
        // SAFETY: the core gave the frame to these tables alone, the HHDM maps it, and the lock around `self` makes this the
        // only reference.
        let root = unsafe { &mut *root };
        // SAFETY: the HHDM shows all physical memory at this address.
        Ok(unsafe { OffsetPageTable::new(root, VirtAddr::new(paging::HHDM_BASE)) })
    }
}

// SAFETY: each frame comes from the core, which gives it to nobody else; where it does, that is what is looked for.
unsafe impl FrameAllocator<Size4KiB> for Tables {
    fn allocate_frame(&mut self) -> Option<Frame<Size4KiB>> {
        self.take().map(|paddr| Frame::containing_address(PhysAddr::new(paddr)))
    }
}

fn new(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let late = match args.word("plain|late")? {
        "plain" => false,
        "late" => true,
        word => return Err(refused(Code::Usage, format_args!("expected plain or late, got {word}"))),
    };
    args.end()?;
    let mut tables = TABLES.lock();
    (tables.count, tables.late) = (0, late);
    let root = tables.take().ok_or(failed("OutOfMemory"))?;
    let kernel = paging::phys_to_virt(Cr3::read().0.start_address().as_u64()) as *const PageTable;
    let ours = paging::phys_to_virt(root) as *mut PageTable;
    for entry in LOWER_HALF..2 * LOWER_HALF {
        // SAFETY: the CPU uses the kernel's table, so it is mapped, and nobody changes it meanwhile.
        let shared = unsafe { &(&*kernel)[entry] }.clone();
        // SAFETY: the core gave the frame to this table alone, and the HHDM maps it.
        unsafe { (&mut *ours)[entry] = shared };
    }
    reply.hex("root", root);
    Ok(())
}

fn page(args: &mut Args<'_>) -> Result<Page<Size4KiB>, CommandError> {
    let vaddr = args.u64("vaddr")?;
    let in_lower_half = VirtAddr::try_new(vaddr).ok().filter(|address| address.as_u64() < 1 << 47);
    let page = in_lower_half.and_then(|address| Page::from_start_address(address).ok());
    page.ok_or_else(|| refused(Code::Range, format_args!("{vaddr:#x}: expected a page of the lower half")))
}

fn map(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (page, paddr) = (page(args)?, args.u64("paddr")?);
    args.end()?;
    let mut tables = TABLES.lock();
    let mut mapper = tables.mapper()?;
    let to = Frame::containing_address(PhysAddr::new_truncate(paddr));
    // SAFETY: nothing of the kernel lies in the lower half, so no reference goes through the page.
    let mapped = unsafe { mapper.map_to(page, to, PageTableFlags::PRESENT | PageTableFlags::WRITABLE, &mut *tables) };
    // The tables are not in use now.
    mapped.map(|flush| flush.ignore()).map_err(|_| failed("NotMapped"))
}

fn unmap(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let page = page(args)?;
    args.end()?;
    let unmapped = TABLES.lock().mapper()?.unmap(page);
    unmapped.map(|(_, flush)| flush.ignore()).map_err(|_| failed("NotMapped"))
}

fn probe_byte(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let page = page(args)?;
    args.end()?;
    let root = TABLES.lock().root()?;
    let (kernel, flags) = Cr3::read();
    // SAFETY: the upper half, with this code and its stack, is the kernel's in both tables.
    unsafe { Cr3::write(Frame::containing_address(PhysAddr::new(root)), flags) };
    let found = probe::read(page.start_address().as_u64());
    // SAFETY: these are the tables that the kernel runs on.
    unsafe { Cr3::write(kernel, flags) };
    reply.flag("fault", found.is_none());
    reply.field("v", found.unwrap_or(0));
    Ok(())
}

fn free(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    args.end()?;
    let mut tables = TABLES.lock();
    while tables.count > 0 {
        tables.count -= 1;
        let start_address = PhysAddr::new(tables.frames[tables.count]);
        with_irqs_disabled(|token| buddy::free(token, PhysFrame { start_address }, 0));
    }
    Ok(())
}
