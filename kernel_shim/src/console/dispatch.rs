//! The request loop: one line in, exactly one reply line out.

use super::args::Args;
use super::command::{refused, Code, Command, CommandError, CommandResult};
use super::output::{self, kind};
use super::reader::{Line, LineReader};
use super::reply::Reply;
use super::text::PercentEncoded;
use crate::arch::{exit, recovery};
use crate::{commands, memory, red, report};
use core::fmt;

/// How a command ended.
pub enum Outcome {
    Returned(CommandResult),
    /// Panicked, and panics are recovered; the details are in [`report::last_panic`].
    Panicked,
}

/// Answers requests for ever.
pub fn serve() -> ! {
    let mut reader = LineReader::new();
    loop {
        answer(reader.next());
    }
}

fn answer(line: Line<'_>) {
    let (sequence, request) = match line {
        Line::Request(text) => split_sequence(text),
        Line::TooLong(text) | Line::Binary(text) => (split_sequence(text).0, ""),
    };
    red::before_answer();
    let mut reply = Reply::new();
    let outcome = match line {
        Line::Request(_) => run(request, &mut reply),
        Line::TooLong(_) => {
            let limit = super::reader::MAX_LINE;
            Outcome::Returned(Err(refused(
                Code::TooLong,
                format_args!("request: expected at most {limit} bytes"),
            )))
        }
        Line::Binary(_) => {
            Outcome::Returned(Err(refused(Code::Usage, format_args!("request: expected visible ascii"))))
        }
    };
    let sequence = red::sequence(sequence);
    for _ in 0..red::replies() {
        output::line(kind::REPLY, format_args!("{sequence} {}", Answer { outcome: &outcome, reply: &reply }));
    }
    if let Some(code) = reply.exit() {
        red::before_exit();
        exit::exit(code);
    }
}

/// Sequence number and the rest; a person's line has none and gets 0.
fn split_sequence(text: &str) -> (u64, &str) {
    let text = text.trim_start();
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match super::args::parse("sequence", first, u64::MAX) {
        Ok(sequence) => (sequence, rest),
        Err(_) => (0, text),
    }
}

/// Runs one command line, recovering from its panic where that was asked for.
pub fn run(request: &str, reply: &mut Reply) -> Outcome {
    let mut args = Args::new(request);
    let name = args.next().unwrap_or("");
    let Some(command) = find(name) else {
        return Outcome::Returned(Err(refused(
            Code::Unknown,
            format_args!("{name}: no such command, try help"),
        )));
    };
    let mut call = || {
        (command.run)(&mut args, reply)?;
        // The command forgot to look: better a refusal than an argument that silently means nothing.
        args.end()
    };
    let returned = if report::recovers() { recovery::call(call) } else { Some(call()) };
    returned.map_or_else(
        || {
            // SAFETY: the panicked command was abandoned for good; no other CPU ever uses the boot allocator.
            unsafe { memory::after_panic() };
            Outcome::Panicked
        },
        Outcome::Returned,
    )
}

/// The command of that name.
pub fn find(name: &str) -> Option<&'static Command> {
    commands::all().find(|command| command.name == name)
}

/// Displays what follows the sequence number in a reply.
pub struct Answer<'a> {
    pub outcome: &'a Outcome,
    pub reply: &'a Reply,
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.reply.fields();
        match (self.outcome, fields) {
            (Outcome::Panicked, _) => {
                let panic = report::last_panic();
                let (file, message) =
                    (PercentEncoded(panic.file.as_str()), PercentEncoded(panic.message.as_str()));
                write!(f, "panic file={file} line={} msg={message}", panic.line)
            }
            (Outcome::Returned(Err(CommandError::Refused(refusal))), _) => {
                write!(f, "err {} {}", refusal.code.name(), refusal.text.as_str())
            }
            (_, None) => write!(
                f,
                "err {} reply: expected at most {} bytes",
                Code::TooLong.name(),
                super::reply::MAX_FIELDS
            ),
            (Outcome::Returned(Ok(())), Some(fields)) => write!(f, "ok{fields}"),
            (Outcome::Returned(Err(CommandError::Failed(name))), Some(fields)) => {
                write!(f, "fail {name}{fields}")
            }
        }
    }
}
