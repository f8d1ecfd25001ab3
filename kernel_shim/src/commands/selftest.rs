//! The command that runs the shim's checks of itself, reported as KTAP.
//!
//! Format: Linux Documentation/dev-tools/ktap.rst, version 1.

use crate::cpus::rounds;
use crate::selftest;
use shim_parts::command::{Args, Command, CommandResult, Reply};

pub const COMMANDS: &[Command] = &[Command::new("selftest", "", "check the shim itself, as KTAP", run)];

fn run(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    rounds::require_idle()?;
    let planned = selftest::checks().count();
    let (mut passed, mut failed) = (0, 0);
    reply.data(format_args!("KTAP version 1"));
    reply.data(format_args!("1..{planned}"));
    for (number, check) in (1..).zip(selftest::checks()) {
        match (check.run)() {
            Ok(()) => {
                passed += 1;
                reply.data(format_args!("ok {number} - {}", check.name));
            }
            Err(why) => {
                failed += 1;
                reply.data(format_args!("not ok {number} - {} # {}", check.name, why.as_str()));
            }
        }
    }
    reply.field("passed", passed);
    reply.field("failed", failed);
    Ok(())
}
