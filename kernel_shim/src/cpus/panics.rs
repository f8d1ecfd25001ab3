//! The effects of a panic or an exception on the program that this CPU runs.

use super::markers::smp_step_panics;
use super::record::{Cpu, ANSWER_BYTES, SMP};
use crate::arch::cpu::{self, NOBODY};
use core::fmt::{self, Write};
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize};

/// A run was begun and not waited for.
pub static RUNNING: AtomicBool = AtomicBool::new(false);
/// The CPU whose panic in the present run was reported.
pub static REPORTED: AtomicUsize = AtomicUsize::new(NOBODY);

/// Whether a CPU that takes part in the present round has panicked.
#[cfg_attr(not(kernel_tree), allow(dead_code))]
pub fn ended_the_round() -> bool {
    RUNNING.load(Relaxed) && REPORTED.load(Relaxed) != NOBODY
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
    REPORTED.compare_exchange(NOBODY, cpu::index(), AcqRel, Relaxed).is_ok()
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

/// Leaves the answer of a command where the host reads it. Of one that does not fit the end says so.
pub fn answer(me: &Cpu, words: fmt::Arguments<'_>) {
    const CUT: &str = " ...";
    let (room, _) = me.answer.split_at(ANSWER_BYTES - 1);
    let mut writer = Cells { cells: room, length: 0 };
    if writer.write_fmt(words).is_err() {
        writer.length = room.len() - CUT.len();
        let _ = writer.write_str(CUT); // it fits
    }
    me.answer[writer.length].store(0, Relaxed);
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
