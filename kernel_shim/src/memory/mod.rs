// Physical memory: the subject, as `frame`, with the allocators that it is compiled against.
//
// `build.rs` includes this text in the module `memory`, beside the subject.

pub mod boot_alloc;
#[path = "../../parts/buddy.rs"]
pub mod buddy;
#[path = "../../parts/frame_ranges.rs"]
pub mod frame_ranges;
pub mod hooks;
pub mod layout;
pub mod release;
pub mod scan;
pub mod slot_table;
pub mod subject;
#[path = "../../parts/zone.rs"]
pub mod zone;

#[cfg(older)]
pub mod absent;

pub use release::release_owned_block;

use crate::arch::paging::HHDM_BASE;
use crate::{arch, witness};

/// Where the HHDM shows a physical address.
pub fn phys_to_virt(paddr: u64) -> u64 {
    paddr.wrapping_add(HHDM_BASE)
}

/// How far memory is set up before the prompt (`init=` on the command line).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// The boot allocator.
    None,
    /// And the slot table.
    Array,
    /// And the buddy.
    Full,
}

impl Stage {
    pub fn from_cmdline() -> Self {
        match crate::cmdline::get("init") {
            None | Some("full") => Self::Full,
            Some("array") => Self::Array,
            Some("none") => Self::None,
            Some(other) => panic!("command line: init: expected none, array or full, got {other}"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Array => "array",
            Self::Full => "full",
        }
    }
}

/// Sets memory up as far as `stage`.
pub fn init(stage: Stage) {
    witness::announce_kernel();
    boot_alloc::get().lock().init();
    if stage >= Stage::Array {
        slot_table::init(layout::end_of_memory());
    }
    if stage >= Stage::Full {
        let frames = boot_alloc::get().lock().hand_over();
        crate::log!("memory: {} slots, {} frames for the buddy", slot_table::frames(), frames.len());
        buddy::init(frames);
        witness::announce_buddy(buddy::state_address());
    }
}

/// Makes the allocators usable again after a panic of a command abandoned one of them.
///
/// # Safety
/// The code that panicked on this CPU must never run again, and no other CPU may be inside the boot allocator.
pub unsafe fn after_panic() {
    // SAFETY: exactly what the caller promises.
    unsafe {
        boot_alloc::unlock_after_panic();
        after_panic_of(arch::cpu_index());
    }
}

/// Makes the buddy usable again after a panic on `cpu`; other CPUs may be inside of it.
///
/// # Safety
/// The code that panicked there must never run again.
pub unsafe fn after_panic_of(cpu: usize) {
    // SAFETY: exactly what the caller promises.
    unsafe { buddy::unlock_after_panic_of(cpu) }
}
