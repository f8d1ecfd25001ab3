//! What binds the shim to frame metadata. A kernel around a module of another kind has a file in place of this one.

use crate::core_commands::storm;
use crate::cpus::record::Cpu;
use crate::cpus::rounds::{self, Work};
use crate::memory::builtin_core::BuiltinCore;
use crate::{memory, smp};
use shim_parts::command_line::Stage;

pub use crate::frame_commands::TABLES;
pub use crate::memory::start::after_panic_of;

/// Sets up what the module needs, as far as `stage`, and the module itself.
pub fn start(stage: Stage) {
    memory::start::init(stage);
    rounds::start(Work { run, after_panic: after_panic_of });
}

/// What a CPU does in a round: a storm on the core, or its program.
fn run(me: &'static Cpu) {
    if storm::is_on() {
        storm::work::<BuiltinCore>(me);
    } else {
        smp::run(me);
    }
}
