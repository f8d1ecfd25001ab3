//! Random waits ahead of a lock while several CPUs work at once.
//!
//! What a core does between two locks takes a few instructions, and another CPU seldom gets in between. A wait makes that
//! more likely: also where the host has fewer CPUs to run them on than the guest has.

use crate::arch::cpu;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use shim_parts::random::Random;
use shim_parts::MAX_CPUS;

/// One lock in so many is waited for, as many steps at most.
const ONE_IN: u64 = 8;
const STEPS: u64 = 4096;
const OFF: u64 = 0;

/// The state of each CPU's random numbers. Relaxed throughout: a CPU uses its own alone.
static STATES: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(OFF) }; MAX_CPUS];

/// Begins with waits on this CPU.
pub fn begin(seed: u64) {
    STATES[cpu::index()].store(Random::new(seed).state(), Relaxed);
}

/// Ends them.
pub fn end() {
    STATES[cpu::index()].store(OFF, Relaxed);
}

#[cfg_attr(not(kernel_tree), allow(dead_code))]
/// Waits now and then, if waits have begun on this CPU.
pub fn wait() {
    let state = &STATES[cpu::index()];
    let seed = state.load(Relaxed);
    if seed == OFF {
        return;
    }
    let mut random = Random::new(seed);
    if random.below(ONE_IN) == 0 {
        (0..random.below(STEPS)).for_each(|step| {
            black_box(step);
        });
    }
    state.store(random.state(), Relaxed);
}
