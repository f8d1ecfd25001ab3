//! A console command as the step of a program: whatever the table of commands offers, other CPUs can do.

use super::markers::{smp_call_begins, smp_call_ended, smp_step_panics};
use super::record::{Cpu, SMP};
use crate::arch;
use crate::console::dispatch::{self, Answer, Outcome};
use crate::console::reply::Reply;
use core::fmt::{self, Write};
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;

/// Calls the subject, between two places at which a debugger can hold the CPU. Each command that calls a function of
/// the subject does so through here: how often that function touches which field is found out between the two.
#[inline(always)]
pub fn subject<R>(f: impl FnOnce() -> R) -> R {
    smp_call_begins();
    let result = f();
    smp_call_ended();
    result
}

/// Runs the command line that the host wrote for this CPU, leaves the text of its answer. A panic or an exception on
/// the way is an answer, too: it abandons the command, nothing else.
pub fn carry_out(me: &Cpu) -> u64 {
    let mut bytes = [0; super::record::LINE_BYTES];
    let mut length = 0;
    for cell in &me.line {
        match cell.load(Relaxed) {
            0 => break,
            byte => bytes[length] = byte,
        }
        length += 1;
    }
    let request = core::str::from_utf8(&bytes[..length]).unwrap_or("");
    let mut reply = Reply::new();
    me.calling.store(1, Relaxed);
    let outcome = dispatch::run(request, &mut reply);
    me.calling.store(0, Relaxed);
    if !matches!(outcome, Outcome::Panicked) {
        answer(me, format_args!("{}", Answer { outcome: &outcome, reply: &reply }));
    }
    length as u64
}

/// Takes the words of a panic or an exception for the answer of the command that this CPU runs for a program; false
/// when it runs none. Whoever gets true abandons the command.
pub fn takes(words: fmt::Arguments<'_>) -> bool {
    let me = &SMP.cpus[arch::cpu_index()];
    // Once only: should the words themselves panic, that is a crash like any other.
    if me.calling.swap(0, Relaxed) == 0 {
        return false;
    }
    smp_step_panics();
    answer(me, words);
    true
}

fn answer(me: &Cpu, words: fmt::Arguments<'_>) {
    let mut writer = Cells { cells: &me.answer, length: 0 };
    // What does not fit is left out.
    let _ = writer.write_fmt(words);
    if let Some(end) = me.answer.get(writer.length) {
        end.store(0, Relaxed);
    }
}

/// Writes text where the host reads it.
struct Cells<'a> {
    cells: &'a [AtomicU8],
    length: usize,
}

impl Write for Cells<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.cells.get(self.length).ok_or(fmt::Error)?.store(byte, Relaxed);
            self.length += 1;
        }
        Ok(())
    }
}
