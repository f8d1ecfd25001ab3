//! Several commands in one request.

use super::args::Args;
use super::command::{refused, Code, Command, CommandError, CommandResult};
use super::dispatch::{self, Answer, Outcome};
use super::reply::Reply;

pub const COMMANDS: &[Command] = &[Command {
    name: NAME,
    usage: "<command>;<command>...",
    help: "run several commands, stop after the first err or panic",
    run,
}];

const NAME: &str = "batch";

/// Commands that end the guest or would nest.
const NOT_INSIDE: &[&str] = &[NAME, "exit"];

fn run(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let mut done = 0;
    let requests = args.rest().split(';').map(str::trim).filter(|request| !request.is_empty());
    for (index, request) in requests.enumerate() {
        let mut inner = Reply::new();
        let outcome = if NOT_INSIDE.contains(&request.split(' ').next().unwrap_or("")) {
            Outcome::Returned(Err(refused(Code::State, format_args!("{request}: not inside a batch"))))
        } else {
            dispatch::run(request, &mut inner)
        };
        reply.data(format_args!("{index} {}", Answer { outcome: &outcome, reply: &inner }));
        done += 1;
        if matches!(outcome, Outcome::Panicked | Outcome::Returned(Err(CommandError::Refused(_)))) {
            break;
        }
    }
    reply.field("done", done);
    Ok(())
}
