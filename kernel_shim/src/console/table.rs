//! The commands that the console knows.

use shim_parts::command::Command;
use spin::Once;

/// Tables of commands, in the order that `help` shows.
pub type Tables = &'static [&'static [Command]];

static TABLES: Once<Tables> = Once::new();

pub fn set(tables: Tables) {
    TABLES.call_once(|| tables);
}

/// Every command.
pub fn all() -> impl Iterator<Item = &'static Command> {
    TABLES.get().copied().unwrap_or(&[]).iter().copied().flatten()
}

/// The command of that name.
pub fn find(name: &str) -> Option<&'static Command> {
    all().find(|command| command.name == name)
}
