//! What binds the shim to the memory core of a kernel tree, whose files are compiled in place.

mod commands;
#[cfg(all(tree_has = "frame_options", tree_has = "unused"))]
mod frames;
mod operand;
#[cfg(tree_has = "frame_options")]
mod page_tables;
mod storm;
mod work;

use crate::commands::{crash, selftest, system};
use crate::console::{batch, table::Tables};
use crate::cpus::rounds::{self, Work};
use shim_parts::command_line::Stage;

/// Older versions have no builder for frames with a purpose.
#[cfg(not(tree_has = "frame_options"))]
mod page_tables {
    pub const COMMANDS: &[shim_parts::command::Command] = &[];
}

/// Older versions have no count that says that nobody has a frame.
#[cfg(not(all(tree_has = "frame_options", tree_has = "unused")))]
mod frames {
    pub const COMMANDS: &[shim_parts::command::Command] = &[];
}

pub const TABLES: Tables = &[
    system::COMMANDS,
    batch::COMMANDS,
    commands::COMMANDS,
    frames::COMMANDS,
    page_tables::COMMANDS,
    work::COMMANDS,
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
