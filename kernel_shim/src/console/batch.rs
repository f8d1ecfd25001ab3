//! Several commands in one request.

use super::dispatch;
use shim_parts::command::{refused, Args, Code, Command, CommandResult};
use shim_parts::reply::{Answer, Outcome, Reply};

pub const COMMANDS: &[Command] =
    &[Command::new("batch", "<command>;<command>...", "run several commands, stop after the first err or panic", run)];

/// Commands that end the guest or would nest.
const NOT_INSIDE: &[&str] = &["batch", "run", "exit"];

/// Runs one of several commands.
pub fn run_inside(request: &str, reply: &mut Reply) -> Outcome {
    if NOT_INSIDE.contains(&request.split(' ').next().unwrap_or("")) {
        return Outcome::Returned(Err(refused(Code::State, format_args!("{request}: not inside a batch"))));
    }
    dispatch::run(request, reply)
}

fn run(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let mut done = 0;
    let requests = args.rest().split(';').map(str::trim).filter(|request| !request.is_empty());
    for (index, request) in requests.enumerate() {
        let mut inner = dispatch::new_reply();
        let outcome = run_inside(request, &mut inner);
        reply.data(format_args!("{index} {}", Answer { outcome: &outcome, reply: &inner }));
        done += 1;
        if outcome.stops() {
            break;
        }
    }
    reply.field("done", done);
    Ok(())
}
