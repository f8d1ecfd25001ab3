//! Rounds in which several CPUs work at the same time.
//!
//! Idle CPUs halt with interrupts disabled. A run wakes them by a non-maskable interrupt. The interrupt may come between a
//! CPU's look at the table and its `hlt`, so it is sent until each CPU has answered. Every CPU must answer, whether it takes
//! part or not: otherwise a CPU that still looks at the last run would run the programs of the next one for it.

use super::panics::{REPORTED, RUNNING};
use super::record::{count, participants_of, Cpu, SMP};
use crate::arch::cpu::{self, NOBODY};
use crate::arch::{recovery, secondary};
use crate::report;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use shim_parts::command::{refused, Code, CommandResult};
use spin::Once;

/// What a CPU does in a round, and what frees its locks when that panicked.
#[derive(Clone, Copy)]
pub struct Work {
    pub run: fn(&'static Cpu),
    /// # Safety
    /// The code that panicked on the CPU of that number must never run again.
    pub after_panic: unsafe fn(usize),
}

static WORK: Once<Work> = Once::new();

/// Starts the other CPUs; each does `work` in the rounds that it takes part in.
pub fn start(work: Work) {
    WORK.call_once(|| work);
    secondary::start(serve, || SMP.ready());
}

/// Does the work of a CPU other than the boot CPU, for ever.
fn serve(cpu: usize) -> ! {
    let me = &SMP.cpus[cpu];
    me.apic_id.store(cpu::initial_apic_id(), Relaxed);
    // Release: pairs with the load in `Smp::ready`.
    SMP.ready.fetch_add(1, AcqRel);
    loop {
        // Acquire: pairs with the store in `arm`. The programs were written before.
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

/// Lets the CPUs of `participants` work, and returns when all are done.
///
/// Called where [`require_idle`] allows it. After a panic that is recovered the other CPUs end with their present iteration. Then the caller
/// is abandoned, too.
pub fn run(participants: u64) {
    let run = arm(participants);
    // Release: pairs with the load in `serve`.
    SMP.go.store(run, Release);
    if participants & 1 == 1 {
        execute(&SMP.cpus[0]);
    }
    wait();
}

/// Wakes the other CPUs for a run of `participants`, and returns the run's number. The run begins when somebody, such as the
/// host, stores that number in `SMP.go`.
pub fn arm(participants: u64) -> u64 {
    participants_of(participants).for_each(Cpu::clear_results);
    REPORTED.store(NOBODY, Relaxed);
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

/// Waits until the other CPUs have ended the present run. Abandons the caller if one of them panicked.
pub fn wait() {
    let run = SMP.run.load(Relaxed);
    let others = || participants_of(SMP.participants.load(Relaxed) & !1);
    // Acquire: pairs with the store in `serve`.
    while !others().all(|cpu| cpu.finished.load(Acquire) == run) {
        core::hint::spin_loop();
    }
    RUNNING.store(false, Relaxed);
    let reported = REPORTED.load(Relaxed);
    if reported != NOBODY {
        report::adopt(reported);
        // SAFETY: the caller is one of the commands `smp.run`, `smp.wait` and `core.storm`, none of which holds a lock here. They
        // lend nothing out: the CPUs of a run use statics alone. Nothing is half changed: the others have ended, and the command
        // that is abandoned waits.
        unsafe { recovery::abandon() }
    }
}

/// Signals until every other CPU knows of the run.
fn wake_others(run: u64) {
    const PATIENCE_TICKS: u64 = 1 << 24; // ours: some milliseconds
    let asleep = || {
        let others = SMP.cpus[..SMP.ready() as usize].iter().skip(1);
        // Acquire: pairs with the store in `serve`.
        others.filter(|cpu| cpu.acknowledged.load(Acquire) != run)
    };
    while asleep().next().is_some() {
        asleep().for_each(|cpu| secondary::wake(cpu.apic_id.load(Relaxed)));
        let sent = cpu::time_stamp();
        while asleep().next().is_some() && cpu::time_stamp().wrapping_sub(sent) < PATIENCE_TICKS {
            core::hint::spin_loop();
        }
    }
}

fn execute(me: &'static Cpu) {
    let work = WORK.get().expect("rounds: expected to be started");
    let controls = cpu::controls();
    let through = if report::recovers() {
        recovery::call(|| (work.run)(me)).is_some()
    } else {
        (work.run)(me);
        true
    };
    // After a panic, too: what runs next on this CPU would find it.
    if let Some(left) = cpu::left_behind(controls) {
        report::end_with(format_args!("the work of cpu {} was left with {left}", cpu::index()));
    }
    if !through {
        count(&me.counters.panics);
        // SAFETY: the code that panicked on this CPU never runs again: `recovery::call` returned `None`, so it was abandoned.
        unsafe { (work.after_panic)(cpu::index()) };
        // Release: pairs with the load in `Smp::stopped`.
        SMP.stop.store(SMP.run.load(Relaxed), Release);
    }
}

/// Whether a run was armed and not waited for.
pub fn is_armed() -> bool {
    RUNNING.load(Relaxed)
}

/// Refuses what needs the other CPUs asleep: while a run is armed, and on another CPU than the one that wakes them.
pub fn require_idle() -> CommandResult {
    require_boot_cpu()?;
    if is_armed() {
        return Err(refused(Code::State, format_args!("a run is armed: smp.wait ends it")));
    }
    Ok(())
}

/// Refuses what would wait for the CPU that it runs on.
pub fn require_boot_cpu() -> CommandResult {
    match cpu::index() {
        0 => Ok(()),
        other => Err(refused(Code::State, format_args!("expected on cpu 0, got cpu {other}"))),
    }
}
