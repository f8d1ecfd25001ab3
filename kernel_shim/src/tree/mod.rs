//! What binds the shim to the memory core of a kernel tree, whose files are compiled in place.

#[cfg(feature = "ownership")]
mod cow;
#[cfg(feature = "ownership")]
mod ownership;
#[cfg(feature = "ownership")]
mod spaces;

use crate::commands::{crash, selftest, system};
use crate::console::{batch, table::Tables};
#[cfg(all(tree_has = "frame_options", tree_has = "unused"))]
use crate::core_commands::frames;
#[cfg(tree_has = "frame_options")]
use crate::core_commands::page_tables;
use crate::core_commands::{operations, storm, work};
use crate::cpus::rounds::{self, Work};
use shim_parts::command_line::Stage;

pub const TABLES: Tables = &[
    system::COMMANDS,
    batch::COMMANDS,
    operations::COMMANDS,
    // Older versions have no count that says that nobody has a frame, or no builder for frames with a purpose.
    #[cfg(all(tree_has = "frame_options", tree_has = "unused"))]
    frames::COMMANDS,
    #[cfg(tree_has = "frame_options")]
    page_tables::COMMANDS,
    work::COMMANDS,
    #[cfg(feature = "ownership")]
    ownership::COMMANDS,
    #[cfg(feature = "ownership")]
    cow::COMMANDS,
    #[cfg(feature = "ownership")]
    spaces::COMMANDS,
    selftest::COMMANDS,
    crash::COMMANDS,
];

/// The host starts the core, by `core.start`, once it has written a memory map.
pub fn start(_stage: Stage) {
    rounds::start(Work { run: storm::work, after_panic: after_panic_of });
}

/// A core that panicked is not asked anything further: the host puts its memory back as it was before.
///
/// # Safety
/// The code that panicked on `_cpu` must never run again.
pub unsafe fn after_panic_of(_cpu: usize) {}
