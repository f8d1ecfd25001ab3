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

/// All physical memory is visible at `HHDM_BASE + paddr`, writable, never executable. Ours: not where most boot loaders put it,
/// so that code which adds that address itself is noticed.
pub const HHDM_BASE: u64 = 0xffff_b000_0000_0000;
pub const HHDM_ENTRY: usize = (HHDM_BASE >> 39 & 511) as usize;
/// The kernel image runs at `KERNEL_BASE + paddr`. Ours, repeated in linker.ld.
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

// SAFETY: only `protect_kernel` refers to the tables, once, on the boot CPU before another one runs.
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
const PML4: *mut PageTable = &raw mut boot_pml4;
const HHDM_PDPT: *mut PageTable = &raw mut boot_hhdm_pdpt;
const KERNEL_PDPT: *mut PageTable = &raw mut boot_kernel_pdpt;

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
    // SAFETY: boot.s aligns the table and fills it. Nobody changes it after boot.
    let flags = unsafe { &*PML4 }[HHDM_ENTRY].flags();
    flags.contains(Flags::NO_EXECUTE) && Efer::read().contains(EferFlags::NO_EXECUTE_ENABLE)
}

/// Removes the identity map, protects the kernel image, and extends the HHDM to the end of RAM.
pub fn init(map: &mut Map) {
    protect_kernel();
    // SAFETY: it is a boot table. Only the boot CPU runs, and it holds no other reference to the table.
    let pml4 = unsafe { exclusive(PML4) };
    // Nothing needs the identity map: code, stack and data are in the higher half.
    pml4[0].set_unused();
    flush();
    let end_of_ram = map.end_of_ram();
    if end_of_ram > BOOT_HHDM_BYTES {
        extend_hhdm(end_of_ram, map);
    }
}

/// Takes a page that the boot tables map, for the kernel's own use during boot.
fn take_page(map: &mut Map) -> u64 {
    map.take_page_within(kernel_image().end..BOOT_HHDM_BYTES, RegionKind::Boot)
}

/// Maps the HHDM up to `up_to`, with 2 MiB pages, in tables that are taken from the map.
///
/// Works before any allocator exists. Existing mappings stay. Panics beyond [`MAX_HHDM_BYTES`].
fn extend_hhdm(up_to: u64, map: &mut Map) {
    assert!(up_to <= MAX_HHDM_BYTES, "hhdm: end: expected at most {MAX_HHDM_BYTES:#x}, got {up_to:#x}");
    for huge in 0..up_to.div_ceil(HUGE_PAGE) {
        // SAFETY: it is a boot table. Only the boot CPU runs, and it holds no other reference to the table.
        let entry = &mut unsafe { exclusive(HHDM_PDPT) }[huge as usize];
        if !entry.is_unused() {
            continue;
        }
        let directory = new_table(map);
        for (index, page) in directory.iter_mut().enumerate() {
            let paddr = huge * HUGE_PAGE + index as u64 * LARGE_PAGE;
            page.set_addr(PhysAddr::new(paddr), Flags::PRESENT | Flags::WRITABLE | Flags::HUGE_PAGE);
        }
        entry.set_addr(hhdm_paddr(directory), Flags::PRESENT | Flags::WRITABLE);
    }
    // Entries that were not present are never cached (SDM vol. 3A, 4.10.2.3): no flush.
}

/// Maps the stacks of the CPUs `1..cpus`, in pages that are taken from the map.
///
/// The pages between the stacks stay unmapped: they are the guards.
pub fn map_secondary_stacks(cpus: usize, map: &mut Map) {
    const PDPT_ENTRY: usize = (stack::SECONDARY_AREA >> 30 & 511) as usize;
    const { assert!((MAX_CPUS as u64 - 1) * stack::SECONDARY_STRIDE <= LARGE_PAGE, "one page table maps them") };
    let (directory, table) = (new_table(map), new_table(map));
    for page in (1..cpus).flat_map(stack::secondary_stacks).flat_map(|range| range.step_by(PAGE as usize)) {
        let flags = Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE;
        table[((page - stack::SECONDARY_AREA) / PAGE) as usize].set_addr(PhysAddr::new(take_page(map)), flags);
    }
    directory[0].set_addr(hhdm_paddr(table), Flags::PRESENT | Flags::WRITABLE);
    // SAFETY: it is a boot table. Only the boot CPU runs, and it holds no other reference to the table.
    let pdpt = unsafe { exclusive(KERNEL_PDPT) };
    // The entry was not present, so nothing is cached of it.
    pdpt[PDPT_ENTRY].set_addr(hhdm_paddr(directory), Flags::PRESENT | Flags::WRITABLE);
    stack::note_mapped(cpus);
}

/// A top table for CPUs that come out of real mode, by its physical address: the kernel's, and the first 4 GiB a second time
/// at address 0, where code can run.
pub fn transition_table(map: &mut Map) -> u64 {
    // SAFETY: it is a boot table. Only the boot CPU, which runs this, refers to it, and it holds no other reference now.
    let kernel = unsafe { exclusive(PML4) };
    let table = new_table(map);
    for (entry, of_kernel) in table.iter_mut().zip(kernel.iter()) {
        *entry = of_kernel.clone();
    }
    let hhdm = &raw const boot_hhdm_pdpt as u64 - KERNEL_BASE;
    table[0].set_addr(PhysAddr::new(hhdm), Flags::PRESENT | Flags::WRITABLE);
    hhdm_paddr(table).as_u64()
}

/// A table without entries, in a page of its own.
fn new_table(map: &mut Map) -> &'static mut PageTable {
    let table = phys_to_virt(take_page(map)) as *mut PageTable;
    // SAFETY: `take_page` gave a page to this call alone, aligned, of RAM that the boot tables map at the HHDM, writable.
    unsafe { table.write_bytes(0, 1) };
    // SAFETY: the page is a table's for good. Its zeros are a table without entries, and this is the only reference to it.
    unsafe { &mut *table }
}

fn hhdm_paddr(table: &PageTable) -> PhysAddr {
    PhysAddr::new(core::ptr::from_ref(table) as u64 - HHDM_BASE)
}

/// Replaces the boot mapping of the image (2 MiB pages, everything allowed) by 4 KiB pages with their protections.
fn protect_kernel() {
    // SAFETY: a static is valid and aligned. Only this function, which the boot CPU calls once, refers to it.
    let [directory] = unsafe { &mut *KERNEL_DIRECTORY.0.get() };
    // SAFETY: a static is valid and aligned. Only this function, which the boot CPU calls once, refers to it.
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
    // SAFETY: it is a boot table. Only the boot CPU runs, and it holds no other reference to the table.
    let pdpt = unsafe { exclusive(KERNEL_PDPT) };
    // All of the image but guard pages stays at the same addresses: the running code, its stack, its data.
    pdpt[510].set_addr(image_paddr(directory), Flags::PRESENT | Flags::WRITABLE);
    flush();
}

/// # Safety
/// * `table` is one of the boot tables.
/// * No other reference to it is alive.
unsafe fn exclusive<'a>(table: *mut PageTable) -> &'a mut PageTable {
    // SAFETY: boot.s aligns the boot tables and fills them, linker.ld puts them into the writable data. The caller promises
    // that it is one of these and that no other reference to it is alive.
    unsafe { &mut *table }
}

fn image_paddr(table: &PageTable) -> PhysAddr {
    PhysAddr::new(core::ptr::from_ref(table) as u64 - KERNEL_BASE)
}

/// Forgets every translation: nothing is mapped global.
fn flush() {
    tlb::flush_all();
}
