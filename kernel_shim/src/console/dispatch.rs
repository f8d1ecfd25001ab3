//! The request loop: one line in, exactly one reply line out.

use super::output::{self, kind};
use super::reader::LineReader;
use super::table::{self, Tables};
use crate::arch::{cpu, exit, interrupts, recovery};
use crate::report;
use core::fmt;
use shim_parts::command::{refused, Args, Code};
use shim_parts::input::{split_sequence, Line, MAX_LINE};
use shim_parts::reply::{Answer, Outcome, Reply};
use spin::Once;

/// Frees the locks that a CPU holds.
///
/// # Safety
/// The code that panicked on the CPU must never run again.
pub type AfterPanic = unsafe fn(usize);

static AFTER_PANIC: Once<AfterPanic> = Once::new();

/// Answers requests for ever. `after_panic` is called after a command panicked, and before the next one.
pub fn serve(tables: Tables, after_panic: AfterPanic) -> ! {
    table::set(tables);
    AFTER_PANIC.call_once(|| after_panic);
    let mut reader = LineReader::new();
    loop {
        answer(reader.next());
    }
}

/// An empty reply, whose data lines go to the console.
pub fn new_reply() -> Reply {
    Reply::new(output::data)
}

fn answer(line: Line<'_>) {
    let (sequence, request) = match line {
        Line::Request(text) => split_sequence(text),
        Line::TooLong(text) | Line::Binary(text) => (split_sequence(text).0, ""),
    };
    let mut reply = new_reply();
    let outcome = match line {
        Line::Request(_) => run(request, &mut reply),
        Line::TooLong(_) => refuse(Code::TooLong, format_args!("request: expected at most {MAX_LINE} bytes")),
        Line::Binary(_) => refuse(Code::Usage, format_args!("request: expected visible ascii")),
    };
    output::line(kind::REPLY, format_args!("{sequence} {}", Answer { outcome: &outcome, reply: &reply }));
    if let Some(code) = reply.exit() {
        exit::exit(code);
    }
}

fn refuse(code: Code, text: fmt::Arguments<'_>) -> Outcome {
    Outcome::Returned(Err(refused(code, text)))
}

/// Runs one command line, and survives its panic if the host asked for that.
pub fn run(request: &str, reply: &mut Reply) -> Outcome {
    let mut args = Args::new(request);
    let name = args.next_word().unwrap_or("");
    let Some(command) = table::find(name) else {
        return refuse(Code::Unknown, format_args!("{name}: no such command, try help"));
    };
    let controls = cpu::controls();
    interrupts::lend_to(request);
    let mut call = || {
        if command.usage.is_empty() {
            args.end()?;
        }
        (command.run)(&mut args, reply)?;
        // The command may have left words. A refusal is better than an argument without a meaning.
        args.end()
    };
    let returned = if report::recovers() { recovery::call(call) } else { Some(call()) };
    if let Some(left) = cpu::left_behind(controls) {
        report::end_with(format_args!("`{request}` came back with {left}"));
    }
    match returned {
        Some(result) => Outcome::Returned(result),
        None => {
            if let Some(after_panic) = AFTER_PANIC.get() {
                // SAFETY: the code that panicked on this CPU never runs again: `recovery::call` returned `None`, so it was abandoned.
                unsafe { after_panic(cpu::index()) };
            }
            Outcome::Panicked(report::last_panic())
        }
    }
}
