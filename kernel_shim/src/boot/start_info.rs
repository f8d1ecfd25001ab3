//! `hvm_start_info`, the structure in which a PVH loader describes the machine.
//!
//! Layout: xen.git, xen/include/public/arch-x86/hvm/start_info.h, version 1 (the first with a memory map).

use crate::arch::paging;
use core::slice;
use shim_parts::memory_map::Entry;

const MAGIC: u32 = 0x336e_c578; // `XEN_HVM_START_MAGIC_VALUE` of that header of xen.git

#[repr(C)]
#[derive(Clone, Copy)]
struct RawStartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    nr_modules: u32,
    modlist_paddr: u64,
    cmdline_paddr: u64,
    rsdp_paddr: u64,
    memmap_paddr: u64,
    memmap_entries: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RawEntry {
    base: u64,
    bytes: u64,
    kind: u32,
    reserved: u32,
}

/// What the loader tells. The slices lie in memory that the loader chose, so they are copied before RAM is handed out.
pub struct StartInfo {
    pub command_line: &'static [u8],
    memory_map: &'static [RawEntry],
}

/// No command line for this kernel is longer. It bounds the search for the terminating zero.
const MAX_COMMAND_LINE: u64 = 4096;

impl StartInfo {
    /// The entries of the loader's memory map.
    pub fn memory_map(&self) -> impl Iterator<Item = Entry> {
        self.memory_map.iter().map(|&RawEntry { base, bytes, kind, .. }| Entry { base, bytes, kind })
    }

    /// Panics when there is no such structure at `paddr`.
    ///
    /// # Safety
    /// Nobody writes to what the loader left, before the last use of what this returns.
    pub unsafe fn read(paddr: u64) -> Self {
        // SAFETY: the structure is plain integers, valid for every bit pattern. The caller promises that nobody writes there.
        let raw = unsafe { boot_slice::<RawStartInfo>(paddr, 1) }[0];
        assert!(raw.magic == MAGIC, "start info: magic: expected {MAGIC:#x}, got {:#x}", raw.magic);
        assert!(raw.version >= 1, "start info: version: expected at least 1 (memory map), got {}", raw.version);
        let text = match raw.cmdline_paddr {
            0 => &[],
            // SAFETY: bytes are valid for every bit pattern. The caller promises that nobody writes there.
            at => unsafe { boot_slice::<u8>(at, MAX_COMMAND_LINE) },
        };
        let length = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        // SAFETY: the entries are plain integers, valid for every bit pattern. The caller promises that nobody writes there.
        let memory_map = unsafe { boot_slice(raw.memmap_paddr, u64::from(raw.memmap_entries)) };
        Self { command_line: &text[..length], memory_map }
    }
}

/// `count` values of the loader at `paddr`, seen through the HHDM.
///
/// # Safety
/// * `T` is valid for every bit pattern.
/// * Nobody writes to the values before the last use of the slice.
unsafe fn boot_slice<T>(paddr: u64, count: u64) -> &'static [T] {
    let end = count.checked_mul(size_of::<T>() as u64).and_then(|bytes| bytes.checked_add(paddr));
    assert!(
        end.is_some_and(|end| end <= paging::BOOT_HHDM_BYTES),
        "start info: expected {count} items at {paddr:#x} below 4 GiB"
    );
    let pointer = paging::phys_to_virt(paddr) as *const T;
    assert!(pointer.is_aligned(), "start info: address {paddr:#x}: expected alignment {}", align_of::<T>());
    // SAFETY: the boot tables map the first 4 GiB at the HHDM, which begins above 0; the range, which is shorter than
    // `isize::MAX`, and the alignment were checked above. The caller promises valid bits of `T`, and that nobody writes there.
    unsafe { slice::from_raw_parts(pointer, count as usize) }
}
