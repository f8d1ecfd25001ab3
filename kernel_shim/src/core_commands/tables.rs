//! The page tables of one address space, in frames of the core; the CPU reads and writes through them.

use crate::arch::{paging, probe};
use crate::frame_module::{self, Purpose, WantedFrame};
use crate::memory_core::CoreError;
use shim_parts::command::{failed, refused, Args, Code, CommandError, CommandResult, Reply};
use shim_parts::PAGE_SIZE;
use x86_64::registers::control::Cr3;
use x86_64::structures::paging::mapper::{MapToError, Mapper, OffsetPageTable};
use x86_64::structures::paging::{
    FrameAllocator, Page, PageTable, PageTableFlags as Flags, PhysFrame as Frame, Size4KiB,
};
use x86_64::{PhysAddr, VirtAddr};

/// The entries of a top table below the kernel's half.
const LOWER_HALF: usize = 256;
const MOST: usize = 256;

/// How a frame for a table is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// By its purpose.
    Plain,
    /// By its purpose, then `zeroed(false)`.
    Late,
    /// By its purpose, and zeroed here, too: whatever the core did, the tables are sound.
    #[cfg_attr(not(feature = "ownership"), allow(dead_code))]
    Wiped,
}

/// The tables of the present root, which comes first.
pub struct Tables {
    frames: [u64; MOST],
    count: usize,
    fresh: Fresh,
}

impl Tables {
    pub const fn none() -> Self {
        Self { frames: [0; MOST], count: 0, fresh: Fresh::Plain }
    }

    fn root(&self) -> Result<u64, CommandError> {
        match self.count {
            0 => Err(refused(Code::State, format_args!("expected a new top table before"))),
            _ => Ok(self.frames[0]),
        }
    }

    /// Makes a top table with the kernel's half in it; forgets those that were there. Its physical address.
    pub fn begin(&mut self, fresh: Fresh) -> Result<u64, CommandError> {
        (self.count, self.fresh) = (0, fresh);
        let root = self.take()?;
        let kernel = paging::phys_to_virt(Cr3::read().0.start_address().as_u64()) as *const PageTable;
        let ours = paging::phys_to_virt(root) as *mut PageTable;
        for entry in LOWER_HALF..2 * LOWER_HALF {
            // SAFETY: the CPU uses the kernel's table, so it is a page of RAM, which the HHDM maps. Nobody changes it after boot.
            let shared = unsafe { &(&*kernel)[entry] }.clone();
            // SAFETY: the HHDM maps the page that `take` gave, any bits are entries, and the core gave it to this table alone.
            unsafe { (&mut *ours)[entry] = shared };
        }
        Ok(root)
    }

    fn take(&mut self) -> Result<u64, CoreError> {
        if self.count == MOST {
            return Err(CoreError::OutOfMemory);
        }
        let zeroed_after = (self.fresh == Fresh::Late).then_some(false);
        let wanted = WantedFrame { zeroed_before: None, purpose: Purpose::PageTable, zeroed_after };
        let paddr = frame_module::allocate(&wanted)?;
        assert!(paddr % PAGE_SIZE == 0, "tables: {paddr:#x}: expected the address of a page");
        if self.fresh == Fresh::Wiped {
            let table = paging::phys_to_virt(paddr) as *mut PageTable;
            // SAFETY: the HHDM maps the page writable, which is aligned as checked, and the core gave it to this table alone.
            unsafe { table.write_bytes(0, 1) };
        }
        self.frames[self.count] = paddr;
        self.count += 1;
        Ok(paddr)
    }

    /// The tables as the crate `x86_64` changes them.
    pub fn mapper(&self) -> Result<OffsetPageTable<'static>, CommandError> {
        let root = paging::phys_to_virt(self.root()?) as *mut PageTable;
        // SAFETY: the HHDM maps the page that `take` gave, and any bits are entries. The core gave it to these tables alone,
        // and the lock around `self` makes this the only reference.
        let root = unsafe { &mut *root };
        // SAFETY: the HHDM shows all physical memory at this address. `begin` made the top table, and the core promises zeros in
        // frames for tables. Of one that breaks this the host looks at what happens: before, it fills free frames with entries
        // that lead to a free frame, so that is what is then taken for a table.
        Ok(unsafe { OffsetPageTable::new(root, VirtAddr::new(paging::HHDM_BASE)) })
    }

    /// Maps a page. The tables are in use only while the CPU reads or writes through them, so nothing is cached of them.
    pub fn map(&mut self, page: Page<Size4KiB>, frame: Frame, flags: Flags) -> CommandResult {
        let mut mapper = self.mapper()?;
        let on_the_way = Flags::PRESENT | Flags::WRITABLE;
        // SAFETY: `page` is of the lower half, where no reference leads: the CPU reads and writes there by `probe` alone.
        let mapped = unsafe { mapper.map_to_with_table_flags(page, frame, flags, on_the_way, self) };
        mapped.map(|flush| flush.ignore()).map_err(|error| match error {
            MapToError::FrameAllocationFailed => failed("OutOfMemory"),
            _ => failed("NotMapped"),
        })
    }

    /// The frame of a page that was mapped before.
    pub fn unmap(&self, page: Page<Size4KiB>) -> Result<Frame, CommandError> {
        let (frame, flush) = self.mapper()?.unmap(page).map_err(|_| failed("NotMapped"))?;
        flush.ignore();
        Ok(frame)
    }

    /// What the CPU reads at an address of the lower half; `None` when it faults.
    pub fn read(&self, vaddr: u64) -> Result<Option<u8>, CommandError> {
        self.within(|| probe::read(vaddr))
    }

    /// Whether the CPU can write a byte at an address of the lower half.
    #[cfg_attr(not(feature = "ownership"), allow(dead_code))]
    pub fn write(&self, vaddr: u64, value: u8) -> Result<bool, CommandError> {
        // SAFETY: nobody has a reference to the byte: of the lower half pages are writable that `space.map` mapped to RAM which is no
        // part of the kernel, and frames that the core gave out. Both are reached by raw pointers alone.
        self.within(|| unsafe { probe::write(vaddr, value) })
    }

    fn within<T>(&self, access: impl FnOnce() -> T) -> Result<T, CommandError> {
        let root = self.root()?;
        let (kernel, flags) = Cr3::read();
        // SAFETY: `begin` made the table. The upper half, with all code, stacks and data, is the kernel's in both tables.
        unsafe { Cr3::write(Frame::containing_address(PhysAddr::new(root)), flags) };
        let result = access();
        // SAFETY: these are the tables that the kernel ran on before.
        unsafe { Cr3::write(kernel, flags) };
        Ok(result)
    }

    /// Gives the frames of all tables back.
    pub fn free(&mut self) {
        while self.count > 0 {
            self.count -= 1;
            frame_module::free(self.frames[self.count], 0);
        }
    }
}

// SAFETY: each frame comes from the core, which gives it to nobody else; where it does, that is what is looked for.
unsafe impl FrameAllocator<Size4KiB> for Tables {
    fn allocate_frame(&mut self) -> Option<Frame<Size4KiB>> {
        self.take().ok().map(|paddr| Frame::containing_address(PhysAddr::new(paddr)))
    }
}

/// Shows what the CPU read.
pub fn show_read(found: Option<u8>, reply: &mut Reply) {
    reply.flag("fault", found.is_none());
    reply.field("v", found.unwrap_or(0));
}

/// The operand for a page of the lower half.
pub fn page(args: &mut Args<'_>) -> Result<Page<Size4KiB>, CommandError> {
    let vaddr = args.u64("vaddr")?;
    let in_lower_half = VirtAddr::try_new(vaddr).ok().filter(|address| address.as_u64() < 1 << 47);
    let page = in_lower_half.and_then(|address| Page::from_start_address(address).ok());
    page.ok_or_else(|| refused(Code::Range, format_args!("{vaddr:#x}: expected a page of the lower half")))
}
