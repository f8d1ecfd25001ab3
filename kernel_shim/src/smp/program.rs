//! Runs a CPU's program, step by step, iteration by iteration.

use super::held::Held;
use super::operation::{Context, Done, Ended, Step};
use crate::arch::cpu;
use crate::cpus::markers::{smp_step_comes, smp_step_ended};
use crate::cpus::record::{count, Cpu, LOG_CAPACITY, MAX_STEPS, SMP};
use crate::memory::buddy_locks;
use core::hint::black_box;
use core::sync::atomic::Ordering::Relaxed;
use shim_parts::random::Random;
use shim_parts::step::Op;

/// Runs the program of `me`, which must be this CPU, to its end or until the run is stopped.
pub fn run(me: &'static Cpu) {
    let (steps, n_steps) = read(me);
    let (traced, logged) = (me.traced.load(Relaxed) != 0, me.logged.load(Relaxed) != 0);
    let random = Random::new(me.seed.load(Relaxed));
    let mut context = Context { me, held: Held::new(cpu::index()), random };
    // A CPU that is held in the middle of a step would keep what others wait for.
    if !traced {
        buddy_locks::borrow_caches();
    }
    me.began_tsc.store(cpu::time_stamp(), Relaxed);
    for _ in 0..me.iterations.load(Relaxed) {
        if SMP.stopped() || !iterate(&mut context, &steps[..n_steps], traced, logged) {
            break;
        }
        count(&me.counters.iterations);
    }
    me.ended_tsc.store(cpu::time_stamp(), Relaxed);
    while context.held.len() > 0 {
        let index = context.held.len() - 1;
        let done = context.held.release(index, &me.counters).map_err(Ended::Broken);
        note(&context, Op::Drop, done);
    }
    me.seed.store(context.random.state(), Relaxed);
    buddy_locks::return_caches(cpu::index());
}

/// Runs the steps once. Returns false when the run is over.
fn iterate(context: &mut Context, steps: &[Step], traced: bool, logged: bool) -> bool {
    let me = context.me;
    for &step in steps {
        if step.delay > 0 {
            idle(context.random.below(step.delay + 1));
        }
        let began = if logged { cpu::time_stamp() } else { 0 };
        if traced {
            smp_step_comes();
        }
        let done = context.carry_out(step);
        if traced {
            me.last.store(*done.as_ref().unwrap_or(&0), Relaxed);
            smp_step_ended();
        }
        if logged {
            log(me, step, began, &done);
        }
        count(&me.counters.steps);
        if !note(context, step.op, done) {
            return false;
        }
    }
    true
}

/// Keeps the first violation, counts the others. Returns false when the run is over.
fn note(context: &Context, op: Op, done: Done) -> bool {
    let broken = match done {
        Ok(_) => return true,
        Err(Ended::Stopped) => return false,
        Err(Ended::Broken(broken)) => broken,
    };
    let (first, counters) = (&context.me.first, &context.me.counters);
    if counters.violations.load(Relaxed) == 0 {
        first.paddr.store(broken.paddr, Relaxed);
        first.expected.store(broken.expected, Relaxed);
        first.got.store(broken.got, Relaxed);
        first.iteration.store(counters.iterations.load(Relaxed), Relaxed);
        first.tsc.store(cpu::time_stamp(), Relaxed);
        first.op.store(op as u64 + 1, Relaxed);
    }
    count(&counters.violations);
    true
}

fn log(me: &Cpu, step: Step, began: u64, done: &Done) {
    let index = me.n_logged.load(Relaxed) as usize;
    if index < LOG_CAPACITY {
        let entry = &me.log[index];
        entry.began_tsc.store(began, Relaxed);
        entry.ended_tsc.store(cpu::time_stamp(), Relaxed);
        entry.op.store(step.op as u64, Relaxed);
        entry.paddr.store(step.paddr, Relaxed);
        entry.result.store(*done.as_ref().unwrap_or(&0), Relaxed);
    }
    count(&me.n_logged);
}

/// Copies the program out of the table, because the host may write there at any time.
///
/// # Panics
/// When an operation or a frame does not exist.
fn read(me: &Cpu) -> ([Step; MAX_STEPS], usize) {
    let mut steps = [Step { op: Op::Nothing, paddr: 0, value: 0, delay: 0 }; MAX_STEPS];
    let n_steps = me.n_steps.load(Relaxed) as usize;
    for (step, written) in steps.iter_mut().zip(&me.steps[..n_steps]) {
        let number = written.op.load(Relaxed) as usize;
        let frame = written.frame.load(Relaxed) as usize;
        *step = Step {
            op: Op::ALL[number],
            paddr: SMP.frames[frame].load(Relaxed),
            value: written.value.load(Relaxed),
            delay: written.delay.load(Relaxed),
        };
    }
    (steps, n_steps)
}

fn idle(turns: u64) {
    (0..turns).for_each(|turn| _ = black_box(turn));
}
