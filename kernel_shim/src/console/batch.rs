//! Several commands in one request.

use super::dispatch;
use shim_parts::args::Args;
use shim_parts::command::{refused, Code, Command, CommandResult};
use shim_parts::reply::{Answer, Outcome, Reply};

pub const COMMANDS: &[Command] =
    &[Command::new(NAME, "<command>;<command>...", "run several commands, stop after the first err or panic", run)];

const NAME: &str = "batch";

/// Commands that end the guest or would nest.
const NOT_INSIDE: &[&str] = &[NAME, "exit"];

fn run(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let mut done = 0;
    let requests = args.rest().split(';').map(str::trim).filter(|request| !request.is_empty());
    for (index, request) in requests.enumerate() {
        let mut inner = dispatch::new_reply();
        let outcome = if NOT_INSIDE.contains(&request.split(' ').next().unwrap_or("")) {
            Outcome::Returned(Err(refused(Code::State, format_args!("{request}: not inside a batch"))))
        } else {
            dispatch::run(request, &mut inner)
        };
        reply.data(format_args!("{index} {}", Answer { outcome: &outcome, reply: &inner }));
        done += 1;
        if outcome.stops() {
            break;
        }
    }
    reply.field("done", done);
    Ok(())
}
