//! The command that runs the shim's checks of itself, reported as KTAP.
//!
//! Format: Linux Documentation/dev-tools/ktap.rst, version 1.

use crate::console::args::Args;
use crate::console::command::{Command, CommandResult};
use crate::console::reply::Reply;
use crate::{red, selftest};

pub const COMMANDS: &[Command] =
    &[Command { name: "selftest", usage: "", help: "check the shim itself, as KTAP", run }];

fn run(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    let (claimed, planned) = red::ktap_plan(selftest::checks().count());
    let (mut passed, mut failed) = (0, 0);
    reply.data(format_args!("KTAP version 1"));
    reply.data(format_args!("1..{claimed}"));
    for (number, check) in (1..).zip(selftest::checks().take(planned)) {
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
