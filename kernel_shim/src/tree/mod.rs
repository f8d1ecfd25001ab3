//! What binds the shim to the memory core of a kernel tree, whose files are compiled in place.

#[cfg(feature = "ownership")]
mod cow;
#[cfg(feature = "ownership")]
mod ownership;
#[cfg(feature = "ownership")]
mod spaces;
mod tree_core;

use crate::commands::{crash, selftest, system};
use crate::console::{batch, table::Tables};
use crate::core_commands::{frames, operations, page_tables, storm, work};
use crate::cpus::rounds::{self, Work};
use shim_parts::command_line::Stage;
use tree_core::TreeCore;

pub const TABLES: Tables = &[
    system::COMMANDS,
    batch::COMMANDS,
    &operations::commands::<TreeCore>(),
    frames::COMMANDS,
    page_tables::COMMANDS,
    &work::commands::<TreeCore>(),
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
    rounds::start(Work { run: storm::work::<TreeCore>, after_panic: after_panic_of });
}

/// A core that panicked is not asked anything further: the host puts its memory back as it was before.
///
/// # Safety
/// The code that panicked on `_cpu` must never run again.
pub unsafe fn after_panic_of(_cpu: usize) {}
