//! The tables of commands.

mod alloc;
mod allocator_trait;
mod array;
mod buddy;
mod buddy_report;
mod constants;
pub mod crash;
mod dump;
mod frame;
mod inject;
mod operand;
mod payload;
mod selftest;
mod slot;
mod slot_bytes;
mod smp;
mod system;
mod vtable;

use crate::console::batch;
use crate::console::command::Command;

/// In the order that `help` shows.
const TABLES: &[&[Command]] = &[
    system::COMMANDS,
    batch::COMMANDS,
    constants::COMMANDS,
    array::COMMANDS,
    slot::COMMANDS,
    slot_bytes::COMMANDS,
    dump::COMMANDS,
    alloc::COMMANDS,
    allocator_trait::COMMANDS,
    frame::COMMANDS,
    payload::COMMANDS,
    vtable::COMMANDS,
    buddy::COMMANDS,
    buddy_report::COMMANDS,
    inject::COMMANDS,
    smp::COMMANDS,
    selftest::COMMANDS,
    crash::COMMANDS,
];

/// Every command.
pub fn all() -> impl Iterator<Item = &'static Command> {
    TABLES.iter().copied().flatten()
}
