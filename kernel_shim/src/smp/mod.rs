//! Programs that several CPUs run at the same time.
//!
//! Idle CPUs halt with interrupts disabled; a run wakes them by a non-maskable interrupt. One may come between a CPU's
//! look at the table and its `hlt`, so it is sent until each CPU has answered. All are asked, whether they take part or
//! not: a CPU that still looked at the last run would take the next one's programs for that one's.

pub mod call;
mod held;
mod markers;
pub mod operation;
pub mod program;
pub mod record;

use crate::arch::{self, recovery, secondary};
use crate::memory::hooks::Stop;
use crate::{memory, report};
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use record::{count, Cpu, SMP};

/// A run was begun and not waited for.
static RUNNING: AtomicBool = AtomicBool::new(false);
/// A panic of the present run was reported.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// CPUs that have come up, the boot CPU included.
pub fn ready() -> u64 {
    // Acquire: pairs with the count in `serve`.
    SMP.ready.load(Acquire)
}

/// What a CPU other than the boot CPU does for ever.
pub fn serve(cpu: usize) -> ! {
    let me = &SMP.cpus[cpu];
    me.apic_id.store(arch::initial_apic_id(), Relaxed);
    // Release: pairs with the load in `ready`.
    SMP.ready.fetch_add(1, AcqRel);
    loop {
        // Acquire: pairs with the store in `run`; the programs were written before.
        let run = SMP.run.load(Acquire);
        if run == me.acknowledged.load(Relaxed) {
            secondary::halt_until_signal();
            continue;
        }
        let takes_part = SMP.participants.load(Relaxed) >> cpu & 1 == 1;
        // Release: pairs with the load in `wake_others`.
        me.acknowledged.store(run, Release);
        if takes_part {
            // Acquire: pairs with the store in `run`.
            while SMP.go.load(Acquire) != run {
                core::hint::spin_loop();
            }
            execute(me);
            // Release: pairs with the load in `run`, whose caller reads the results.
            me.finished.store(run, Release);
        }
    }
}

/// Lets the CPUs of `participants` run their programs, this one among them; returns when all are done.
///
/// Called on the boot CPU. After a panic that is recovered the others end with their present iteration; then the
/// caller is abandoned in its turn.
pub fn run(participants: u64) {
    let run = arm(participants);
    // Release: pairs with the load in `serve`.
    SMP.go.store(run, Release);
    if participants & 1 == 1 {
        execute(&SMP.cpus[0]);
    }
    wait();
}

/// Wakes the other CPUs for a run of `participants` that begins when its number, which is returned, is stored in
/// `SMP.go`: by the host, for example.
pub fn arm(participants: u64) -> u64 {
    participants_of(participants).for_each(Cpu::clear_results);
    REPORTED.store(false, Relaxed);
    RUNNING.store(true, Relaxed);
    for cell in [&SMP.arrived, &SMP.tally] {
        cell.store(0, Relaxed);
    }
    SMP.participants.store(participants, Relaxed);
    let run = SMP.run.load(Relaxed) + 1;
    // Release: pairs with the load in `serve`.
    SMP.run.store(run, Release);
    wake_others(run);
    run
}

/// The CPUs whose bits are set.
pub fn participants_of(mask: u64) -> impl Iterator<Item = &'static Cpu> {
    SMP.cpus.iter().enumerate().filter(move |(cpu, _)| mask >> cpu & 1 == 1).map(|(_, cpu)| cpu)
}

/// Whether the present run is to end: the host said so, maybe before it began, or a CPU panicked.
pub fn stopped() -> bool {
    // Acquire: pairs with the store in `execute`; whoever stops for it finds the locks free.
    SMP.stop.load(Acquire) == SMP.run.load(Relaxed)
}

/// Waits until the other CPUs have ended the present run; abandons the caller if one of them panicked.
pub fn wait() {
    let run = SMP.run.load(Relaxed);
    let others = || participants_of(SMP.participants.load(Relaxed) & !1);
    // Acquire: pairs with the store in `serve`.
    while !others().all(|cpu| cpu.finished.load(Acquire) == run) {
        core::hint::spin_loop();
    }
    RUNNING.store(false, Relaxed);
    if REPORTED.load(Relaxed) {
        recovery::abandon();
    }
}

/// Signals until every other CPU knows of the run.
fn wake_others(run: u64) {
    const PATIENCE_TICKS: u64 = 1 << 24;
    let asleep = || {
        let others = SMP.cpus[..ready() as usize].iter().skip(1);
        // Acquire: pairs with the store in `serve`.
        others.filter(|cpu| cpu.acknowledged.load(Acquire) != run)
    };
    while asleep().next().is_some() {
        asleep().for_each(|cpu| secondary::wake(cpu.apic_id.load(Relaxed)));
        let sent = arch::time_stamp();
        while asleep().next().is_some() && arch::time_stamp().wrapping_sub(sent) < PATIENCE_TICKS {
            core::hint::spin_loop();
        }
    }
}

fn execute(me: &'static Cpu) {
    let through = if report::recovers() {
        recovery::call(|| program::run(me)).is_some()
    } else {
        program::run(me);
        true
    };
    if !through {
        count(&me.counters.panics);
        // SAFETY: what this CPU was doing was abandoned for good.
        unsafe { memory::after_panic_of(arch::cpu_index()) };
        // Release: pairs with the load in `stopped`.
        SMP.stop.store(SMP.run.load(Relaxed), Release);
    }
}

/// Whether a run was armed and not waited for.
pub fn is_armed() -> bool {
    RUNNING.load(Relaxed)
}

/// Whether a panic is to be reported: of those of one run only the first, the others follow from it. What a CPU does
/// that takes no part, such as a command while others are armed, is nothing of the run's.
pub fn may_report() -> bool {
    let takes_part = SMP.participants.load(Relaxed) >> arch::cpu_index() & 1 == 1;
    if !(RUNNING.load(Relaxed) && takes_part) {
        return true;
    }
    markers::smp_step_panics();
    // AcqRel: one CPU alone gets the answer yes.
    !REPORTED.swap(true, AcqRel)
}

/// Counts a hook that is called on this CPU.
pub fn note_hook(stop: Stop) {
    let counters = &SMP.cpus[arch::cpu_index()].counters;
    match stop {
        Stop::OnLastRef => count(&counters.on_last_ref),
        Stop::OnUnmap => count(&counters.on_unmap),
        Stop::Buddy => {}
    }
}
