//! The tables of commands.

pub mod crash;
mod selftest;
mod system;

use crate::console::batch;
use crate::console::command::Command;

/// In the order that `help` shows.
const TABLES: &[&[Command]] = &[
    system::COMMANDS,
    batch::COMMANDS,
    selftest::COMMANDS,
    crash::COMMANDS,
];

/// Every command.
pub fn all() -> impl Iterator<Item = &'static Command> {
    TABLES.iter().copied().flatten()
}
