//! What binds the shim to frame metadata. A kernel around a module of another kind has a file in place of this one.

use crate::cpus::rounds::{self, Work};
use crate::{memory, smp};
use shim_parts::command_line::Stage;

pub use crate::frame_commands::TABLES;
pub use crate::memory::recover::after_panic_of;

/// Sets up what the module needs, as far as `stage`, and the module itself.
pub fn start(stage: Stage) {
    memory::start::init(stage);
    rounds::start(Work { run: smp::run, after_panic: after_panic_of });
}
