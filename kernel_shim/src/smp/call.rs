//! A console command as the step of a program: other CPUs can run every command of the table.

use crate::arch::interrupts;
use crate::console::dispatch;
use crate::cpus::markers::{smp_call_comes, smp_call_ended};
use crate::cpus::panics::answer;
use crate::cpus::record::{Cpu, LINE_BYTES};
use crate::report;
use core::sync::atomic::Ordering::Relaxed;
use shim_parts::reply::{Answer, Outcome};

/// Calls the subject, between two places at which a debugger can hold the CPU. Commands for one function of the frame module call
/// it through here; `release` and the commands for a memory core do not. The accesses of that function to a slot are those
/// between the two places.
/// In half of the requests, interrupts are enabled during the call, and must still be enabled after it.
#[inline(always)]
pub fn subject<R>(f: impl FnOnce() -> R) -> R {
    if !interrupts::are_lent() {
        return subject_without_interrupts(f);
    }
    interrupts::enable();
    let result = subject_without_interrupts(f);
    if !interrupts::are_enabled() {
        report::end_with("the call came back with interrupts disabled");
    }
    interrupts::disable();
    result
}

/// The same, for what a kernel calls with interrupts disabled alone.
#[inline(always)]
pub fn subject_without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    smp_call_comes();
    let result = f();
    smp_call_ended();
    result
}

/// Runs the command line that the host wrote for this CPU, and leaves the text of its answer. A panic or an exception on the
/// way is an answer, too: it abandons only the command.
pub fn carry_out(me: &Cpu) -> u64 {
    let mut bytes = [0; LINE_BYTES];
    let given = me.line.iter().map(|cell| cell.load(Relaxed)).take_while(|&byte| byte != 0);
    let length = bytes.iter_mut().zip(given).map(|(byte, given)| *byte = given).count();
    let request = core::str::from_utf8(&bytes[..length]).unwrap_or("");
    let mut reply = dispatch::new_reply();
    me.calling.store(1, Relaxed);
    let outcome = dispatch::run(request, &mut reply);
    me.calling.store(0, Relaxed);
    if !matches!(outcome, Outcome::Panicked(_)) {
        answer(me, format_args!("{}", Answer { outcome: &outcome, reply: &reply }));
    }
    length as u64
}
