//! The effects of a panic or an exception on the program that this CPU runs.

use super::markers::smp_step_panics;
use super::record::{Cpu, SMP};
use crate::arch::cpu;
use core::fmt::{self, Write};
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use core::sync::atomic::{AtomicBool, AtomicU8};

/// A run was begun and not waited for.
pub static RUNNING: AtomicBool = AtomicBool::new(false);
/// A panic of the present run was reported.
pub static REPORTED: AtomicBool = AtomicBool::new(false);

/// Whether a CPU that takes part in the present round has panicked.
#[cfg_attr(not(kernel_tree), allow(dead_code))]
pub fn ended_the_round() -> bool {
    RUNNING.load(Relaxed) && REPORTED.load(Relaxed)
}

/// Whether a panic is to be reported. Of the panics of one run only the first is, the others follow from it. A CPU that
/// takes no part, such as one that runs a command while others are armed, is not part of the run.
pub fn may_report() -> bool {
    let takes_part = SMP.participants.load(Relaxed) >> cpu::index() & 1 == 1;
    if !(RUNNING.load(Relaxed) && takes_part) {
        return true;
    }
    smp_step_panics();
    // AcqRel: only one CPU gets the answer yes.
    !REPORTED.swap(true, AcqRel)
}

/// Takes the words of a panic or an exception as the answer of the command that this CPU runs for a program. Returns false
/// when it runs none. A caller that gets true must abandon the command.
pub fn takes(words: fmt::Arguments<'_>) -> bool {
    let me = &SMP.cpus[cpu::index()];
    // Only once: if the words themselves panic, that is a crash like any other.
    if me.calling.swap(0, Relaxed) == 0 {
        return false;
    }
    smp_step_panics();
    answer(me, words);
    true
}

/// Leaves the answer of a command where the host reads it.
pub fn answer(me: &Cpu, words: fmt::Arguments<'_>) {
    let mut writer = Cells { cells: &me.answer, length: 0 };
    // What does not fit is left out.
    let _ = writer.write_fmt(words);
    if let Some(end) = me.answer.get(writer.length) {
        end.store(0, Relaxed);
    }
}

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
