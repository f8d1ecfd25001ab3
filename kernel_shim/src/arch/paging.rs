//! The two mappings of the kernel: all physical memory (HHDM), the kernel image with its protections.
//!
//! Intel SDM vol. 3A, 4.5 "4-Level Paging". The boot tables (boot.s) already map the first 4 GiB at the HHDM.

use super::stack;
use core::cell::UnsafeCell;
use core::ops::Range;
use shim_parts::memory_map::{Map, RegionKind};
use shim_parts::{MAX_CPUS, PAGE_SIZE as PAGE};
use x86_64::registers::model_specific::{Efer, EferFlags};
use x86_64::structures::paging::{PageTable, PageTableFlags as Flags};
use x86_64::{instructions::tlb, PhysAddr};

/// All physical memory is visible at `HHDM_BASE + paddr`, writable, never executable.
pub const HHDM_BASE: u64 = 0xffff_8000_0000_0000;
/// The kernel image runs at `KERNEL_BASE + paddr`. Repeated in linker.ld.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
/// The number of bytes that the boot tables map at the HHDM.
pub const BOOT_HHDM_BYTES: u64 = 4 << 30;
/// The number of bytes that one PML4 entry can map. The HHDM has one.
pub const MAX_HHDM_BYTES: u64 = 512 << 30;

const LARGE_PAGE: u64 = 2 << 20;
const HUGE_PAGE: u64 = 1 << 30;

/// 2 MiB each: room for an image of 16 MiB.
const KERNEL_TABLES: usize = 8;

/// Tables of the kernel image, static because they are needed before anything can be allocated.
struct StaticTables<const N: usize>(UnsafeCell<[PageTable; N]>);

// SAFETY: written by `init` alone, on the boot CPU before another one runs.
unsafe impl<const N: usize> Sync for StaticTables<N> {}

static KERNEL_DIRECTORY: StaticTables<1> = StaticTables(UnsafeCell::new([const { PageTable::new() }; 1]));
static KERNEL_PAGES: StaticTables<KERNEL_TABLES> =
    StaticTables(UnsafeCell::new([const { PageTable::new() }; KERNEL_TABLES]));

// Symbols of boot.s and linker.ld: only their addresses mean something.
unsafe extern "C" {
    static mut boot_pml4: PageTable;
    static mut boot_hhdm_pdpt: PageTable;
    static mut boot_kernel_pdpt: PageTable;
    static __kernel_start: u8;
    static __kernel_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __data_start: u8;
    static __data_end: u8;
}

fn pml4() -> *mut PageTable {
    &raw mut boot_pml4
}

fn hhdm_pdpt() -> *mut PageTable {
    &raw mut boot_hhdm_pdpt
}

fn kernel_pdpt() -> *mut PageTable {
    &raw mut boot_kernel_pdpt
}

/// Where the HHDM shows `paddr`.
pub const fn phys_to_virt(paddr: u64) -> u64 {
    HHDM_BASE.wrapping_add(paddr)
}

/// Physical addresses of the kernel image, page aligned.
pub fn kernel_image() -> Range<u64> {
    let (start, end) = (&raw const __kernel_start as u64, &raw const __kernel_end as u64);
    start - KERNEL_BASE..end - KERNEL_BASE
}

/// Addresses of the kernel's code.
pub fn kernel_text() -> Range<u64> {
    &raw const __text_start as u64..&raw const __text_end as u64
}

/// Addresses of the kernel's constants.
pub fn kernel_rodata() -> Range<u64> {
    &raw const __rodata_start as u64..&raw const __rodata_end as u64
}

fn kernel_data() -> Range<u64> {
    &raw const __data_start as u64..&raw const __data_end as u64
}

/// Whether `vaddr` lies in the kernel image.
pub fn is_image(vaddr: u64) -> bool {
    vaddr.checked_sub(KERNEL_BASE).is_some_and(|paddr| kernel_image().contains(&paddr))
}

/// Whether code cannot run from the HHDM: its only top entry forbids it, and EFER lets the CPU obey.
pub fn hhdm_is_no_execute() -> bool {
    const HHDM_ENTRY: usize = (HHDM_BASE >> 39 & 511) as usize;
    // SAFETY: only the boot CPU, which runs this, refers to the table, and it holds no other reference now.
    let flags = unsafe { exclusive(pml4()) }[HHDM_ENTRY].flags();
    flags.contains(Flags::NO_EXECUTE) && Efer::read().contains(EferFlags::NO_EXECUTE_ENABLE)
}

/// Removes the identity map, protects the kernel image, and extends the HHDM to the end of RAM.
pub fn init(map: &mut Map) {
    protect_kernel();
    // SAFETY: only the boot CPU runs, in the higher half and on a stack there, and it holds no other reference to the table.
    let pml4 = unsafe { exclusive(pml4()) };
    pml4[0].set_unused();
    flush();
    let end_of_ram = map.end_of_ram();
    if end_of_ram > BOOT_HHDM_BYTES {
        extend_hhdm(end_of_ram, || take_page(map));
    }
}

/// Takes a page that the boot tables map, for the kernel's own use during boot.
pub fn take_page(map: &mut Map) -> u64 {
    map.take_page_within(kernel_image().end..BOOT_HHDM_BYTES, RegionKind::Boot)
}

/// Maps the HHDM up to `up_to`, with 2 MiB pages in tables that `new_table` (paddr of an unused, mapped page) gives.
///
/// Works before any allocator exists. Existing mappings stay. Panics beyond [`MAX_HHDM_BYTES`].
pub fn extend_hhdm(up_to: u64, mut new_table: impl FnMut() -> u64) {
    assert!(up_to <= MAX_HHDM_BYTES, "hhdm: end: expected at most {MAX_HHDM_BYTES:#x}, got {up_to:#x}");
    for huge in 0..up_to.div_ceil(HUGE_PAGE) {
        // SAFETY: only the boot CPU runs, and it holds no other reference to the table.
        let entry = &mut unsafe { exclusive(hhdm_pdpt()) }[huge as usize];
        if !entry.is_unused() {
            continue;
        }
        let table = new_table();
        // SAFETY: the caller gives a page that nobody uses and the HHDM maps; every entry is written before use.
        let directory = unsafe { &mut *(phys_to_virt(table) as *mut PageTable) };
        for (index, page) in directory.iter_mut().enumerate() {
            let paddr = huge * HUGE_PAGE + index as u64 * LARGE_PAGE;
            page.set_addr(PhysAddr::new(paddr), Flags::PRESENT | Flags::WRITABLE | Flags::HUGE_PAGE);
        }
        entry.set_addr(PhysAddr::new(table), Flags::PRESENT | Flags::WRITABLE);
    }
    // Entries that were not present are never cached (SDM vol. 3A, 4.10.2.3): no flush.
}

/// Maps the stacks of the CPUs `1..cpus`, in pages that `new_page` (paddr of an unused, mapped page) gives.
///
/// The pages between the stacks stay unmapped: they are the guards.
pub fn map_secondary_stacks(cpus: usize, mut new_page: impl FnMut() -> u64) {
    const PDPT_ENTRY: usize = (stack::SECONDARY_AREA >> 30 & 511) as usize;
    const { assert!((MAX_CPUS as u64 - 1) * stack::SECONDARY_STRIDE <= LARGE_PAGE, "one page table maps them") };
    let (directory, table) = (new_page(), new_page());
    // SAFETY: the caller gives a page that nobody uses and the HHDM maps.
    let directory = unsafe { cleared_table(directory) };
    // SAFETY: the caller gives another page that nobody uses and the HHDM maps.
    let table = unsafe { cleared_table(table) };
    for page in (1..cpus).flat_map(stack::secondary_stacks).flat_map(|range| range.step_by(PAGE as usize)) {
        let flags = Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE;
        table[((page - stack::SECONDARY_AREA) / PAGE) as usize].set_addr(PhysAddr::new(new_page()), flags);
    }
    directory[0].set_addr(hhdm_paddr(table), Flags::PRESENT | Flags::WRITABLE);
    // SAFETY: only the boot CPU runs, and it holds no other reference to the table. The entry was not present, so
    // nothing is cached of it.
    let pdpt = unsafe { exclusive(kernel_pdpt()) };
    pdpt[PDPT_ENTRY].set_addr(hhdm_paddr(directory), Flags::PRESENT | Flags::WRITABLE);
    stack::note_mapped(cpus);
}

/// Fills the page at `paddr` with a top table for CPUs that come out of real mode: the kernel's, and the first 4 GiB
/// a second time at address 0, where code can run.
///
/// # Safety
/// The page is memory that nobody uses.
pub unsafe fn write_transition_table(paddr: u64) {
    // SAFETY: only the boot CPU, which runs this, refers to the table, and it holds no other reference now.
    let kernel = unsafe { exclusive(pml4()) };
    // SAFETY: the caller promises that nobody uses the page; it is RAM, which the HHDM maps.
    let table = unsafe { cleared_table(paddr) };
    for (entry, of_kernel) in table.iter_mut().zip(kernel.iter()) {
        *entry = of_kernel.clone();
    }
    let hhdm = &raw const boot_hhdm_pdpt as u64 - KERNEL_BASE;
    table[0].set_addr(PhysAddr::new(hhdm), Flags::PRESENT | Flags::WRITABLE);
}

/// # Safety
/// The page is memory that the HHDM maps and that nobody uses.
unsafe fn cleared_table(paddr: u64) -> &'static mut PageTable {
    let table = phys_to_virt(paddr) as *mut PageTable;
    // SAFETY: the caller promises that the page is mapped and that nobody uses it; it is aligned, as every page is.
    unsafe { table.write_bytes(0, 1) };
    // SAFETY: the caller promises that the page is mapped and nobody else's; a page of zeros is a table without entries.
    unsafe { &mut *table }
}

fn hhdm_paddr(table: &PageTable) -> PhysAddr {
    PhysAddr::new(core::ptr::from_ref(table) as u64 - HHDM_BASE)
}

/// Replaces the boot mapping of the image (2 MiB pages, everything allowed) by 4 KiB pages with their protections.
fn protect_kernel() {
    // SAFETY: only the boot CPU runs, and only this function, which is called once, refers to these tables.
    let [directory] = unsafe { &mut *KERNEL_DIRECTORY.0.get() };
    // SAFETY: only the boot CPU runs, and only this function refers to these tables.
    let tables = unsafe { &mut *KERNEL_PAGES.0.get() };
    let guards = |page: u64| stack::image_guards().any(|guard| guard == page);
    let read_only = Flags::PRESENT | Flags::NO_EXECUTE;
    for (range, flags) in
        [(kernel_rodata(), read_only), (kernel_text(), Flags::PRESENT), (kernel_data(), read_only | Flags::WRITABLE)]
    {
        for page in range.step_by(PAGE as usize).filter(|&page| !guards(page)) {
            let paddr = page - KERNEL_BASE;
            let table = (paddr / LARGE_PAGE) as usize;
            assert!(table < KERNEL_TABLES, "kernel image: end: expected below {KERNEL_TABLES} * 2 MiB");
            let entry = (paddr % LARGE_PAGE / PAGE) as usize;
            tables[table][entry].set_addr(PhysAddr::new(paddr), flags);
        }
    }
    for (entry, table) in directory.iter_mut().zip(tables.iter()) {
        entry.set_addr(image_paddr(table), Flags::PRESENT | Flags::WRITABLE);
    }
    // SAFETY: the new directory maps all of the image but guard pages, at the same addresses, so the running code,
    // its stack and its data stay where they are.
    let pdpt = unsafe { exclusive(kernel_pdpt()) };
    pdpt[510].set_addr(image_paddr(directory), Flags::PRESENT | Flags::WRITABLE);
    flush();
}

/// # Safety
/// `table` is one of the boot tables, and no other reference to it is alive.
unsafe fn exclusive<'a>(table: *mut PageTable) -> &'a mut PageTable {
    // SAFETY: the boot tables are aligned, complete in the image and mapped writable; the caller has it alone.
    unsafe { &mut *table }
}

fn image_paddr(table: &PageTable) -> PhysAddr {
    PhysAddr::new(core::ptr::from_ref(table) as u64 - KERNEL_BASE)
}

/// Forgets every translation: nothing is mapped global.
fn flush() {
    tlb::flush_all();
}
