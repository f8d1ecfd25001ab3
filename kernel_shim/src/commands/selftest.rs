//! The shim's checks of itself, in the guest, reported as KTAP.

use crate::console::args::Args;
use crate::console::command::{Command, CommandResult};
use crate::console::reply::Reply;
use crate::console::text::Text;

pub const COMMANDS: &[Command] = &[Command {
    name: "selftest",
    usage: "",
    help: "check the shim itself, as KTAP",
    run: selftest,
}];

type Verdict = Result<(), Text<160>>;

struct Check {
    name: &'static str,
    run: fn() -> Verdict,
}

const CHECKS: &[Check] = &[];

fn selftest(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    let (mut passed, mut failed) = (0, 0);
    reply.data(format_args!("KTAP version 1"));
    reply.data(format_args!("1..{}", CHECKS.len()));
    for (number, check) in (1..).zip(CHECKS) {
        match (check.run)() {
            Ok(()) => {
                passed += 1;
                reply.data(format_args!("ok {number} - {}", check.name));
            }
            Err(why) => {
                failed += 1;
                reply.data(format_args!(
                    "not ok {number} - {} # {}",
                    check.name,
                    why.as_str()
                ));
            }
        }
    }
    reply.field("passed", passed);
    reply.field("failed", failed);
    Ok(())
}
