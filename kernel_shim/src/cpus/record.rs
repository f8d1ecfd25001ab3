//! The table through which CPUs get programs, in a layout that the host uses, too.

use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::sync::atomic::{AtomicU64, AtomicU8};
use shim_parts::step::MAX_FRAMES;
use shim_parts::MAX_CPUS;

/// The largest number of steps of a program.
pub const MAX_STEPS: usize = 16;
/// The number of steps that a log has room for. Later ones are only counted.
pub const LOG_CAPACITY: usize = 64;
/// The room for the command line of a step `call`.
pub const LINE_BYTES: usize = 128;
/// The room for its answer.
pub const ANSWER_BYTES: usize = 256;

/// Everything that CPUs share while programs run.
///
/// Fields are written before a run begins or by the CPU that they belong to, so that most accesses are relaxed: the
/// stores of `run`, `go` and `finished` (Release), each with its Acquire load, order them.
#[repr(C)]
pub struct Smp {
    /// CPUs that run, the boot CPU included.
    pub ready: AtomicU64,
    /// Number of the present run, from 1.
    pub run: AtomicU64,
    /// The run whose CPUs may begin: all of them are awake.
    pub go: AtomicU64,
    /// Bit for each CPU that takes part.
    pub participants: AtomicU64,
    /// The run whose programs end with their present iteration, set by the host or by a CPU that panicked. A number, so
    /// that a host's clock may run out before the run begins or after it ended.
    pub stop: AtomicU64,
    /// CPUs that wait at the barrier.
    pub arrived: AtomicU64,
    /// How often the barrier opened.
    pub phase: AtomicU64,
    /// A number that all CPUs count up, for `tally`.
    pub tally: AtomicU64,
    /// Physical addresses of the frames that steps name by their index.
    pub frames: [AtomicU64; MAX_FRAMES],
    pub cpus: [Cpu; MAX_CPUS],
}

/// One CPU: its program and the results.
#[repr(C)]
pub struct Cpu {
    /// The initial APIC id, by which a debugger tells CPUs apart.
    pub apic_id: AtomicU64,
    /// The last run that it woke up for.
    pub acknowledged: AtomicU64,
    /// The last run that it took part in to the end.
    pub finished: AtomicU64,
    /// How often the program is repeated.
    pub iterations: AtomicU64,
    /// Not 0: it calls `smp_step_comes` and `smp_step_ended` around each step.
    pub traced: AtomicU64,
    /// Not 0: it writes the log.
    pub logged: AtomicU64,
    /// The seed of its random numbers. Never 0.
    pub seed: AtomicU64,
    pub n_steps: AtomicU64,
    pub steps: [Step; MAX_STEPS],
    pub counters: Counters,
    /// The first violation.
    pub first: Violation,
    /// The last result of `look`.
    pub seen: Seen,
    /// The result of the last step.
    pub last: AtomicU64,
    pub began_tsc: AtomicU64,
    pub ended_tsc: AtomicU64,
    /// Steps since the run began, those without room in the log, too.
    pub n_logged: AtomicU64,
    pub log: [LogEntry; LOG_CAPACITY],
    /// Not 0: it runs a command for a step `call`.
    pub calling: AtomicU64,
    /// The command line for `call`, which the host writes, up to a 0.
    pub line: [AtomicU8; LINE_BYTES],
    /// Its answer, up to a 0.
    pub answer: [AtomicU8; ANSWER_BYTES],
}

/// Declares structures of words that are all 0 at first.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            pub struct $name {
                $($(#[$of_field])* pub $field: AtomicU64,)*
            }

            impl $name {
                const fn new() -> Self {
                    Self { $($field: zero(),)* }
                }

                /// Each word under its name.
                #[allow(dead_code)]
                pub fn named(&self) -> impl Iterator<Item = (&'static str, &AtomicU64)> {
                    [$((stringify!($field), &self.$field),)*].into_iter()
                }
            }
        )*
    };
}

words! {
    /// One step. `op` is the number of an [`shim_parts::step::Op`].
    Step {
        op,
        /// Index into `frames`.
        frame,
        value,
        /// Turns of an empty loop before the step, up to this many, at random.
        delay,
    }

    /// What happened in a run, counted by the CPU alone.
    Counters {
        iterations,
        steps,
        allocated,
        released,
        out_of_memory,
        /// Claims that succeeded.
        won,
        /// Claims that found the frame taken.
        lost,
        /// `dec_ref` that returned 1.
        last_refs,
        /// Times that `tally` was as expected.
        rounds,
        /// Looks that found the frame live.
        live,
        /// Hooks that were called on this CPU.
        on_last_ref,
        on_unmap,
        /// Expectations that failed. The first is in `first`.
        violations,
        panics,
    }

    /// An expectation that failed.
    Violation {
        /// Number of the operation, plus 1. 0 when there was none.
        op,
        paddr,
        expected,
        got,
        iteration,
        tsc,
    }

    /// One slot as a reader found it, in the order of the loads.
    Seen {
        refcount,
        generation,
        guard,
        vtable,
        flags,
        order,
        payload,
        looks,
    }

    /// One step that was carried out.
    LogEntry {
        began_tsc,
        ended_tsc,
        op,
        paddr,
        /// The result of the subject's function.
        result,
    }
}

const fn zero() -> AtomicU64 {
    AtomicU64::new(0)
}

/// Found by the host through the ELF's symbol and debug information.
#[unsafe(no_mangle)]
pub static SMP: Smp = Smp {
    ready: AtomicU64::new(1),
    run: zero(),
    go: zero(),
    participants: zero(),
    stop: zero(),
    arrived: zero(),
    phase: zero(),
    tally: zero(),
    frames: [const { zero() }; MAX_FRAMES],
    cpus: [const { Cpu::new() }; MAX_CPUS],
};

impl Smp {
    /// The number of CPUs that run, the boot CPU included.
    pub fn ready(&self) -> u64 {
        // Acquire: pairs with the count in `rounds::serve`.
        self.ready.load(Acquire)
    }

    /// Whether the present run is to end: the host said so, perhaps before it began, or a CPU panicked.
    pub fn stopped(&self) -> bool {
        // Acquire: pairs with the store in `rounds::execute`. A CPU that stops because of it finds the locks free.
        self.stop.load(Acquire) == self.run.load(Relaxed)
    }
}

/// The CPUs whose bits are set.
pub fn participants_of(mask: u64) -> impl Iterator<Item = &'static Cpu> {
    SMP.cpus.iter().enumerate().filter(move |(cpu, _)| mask >> cpu & 1 == 1).map(|(_, cpu)| cpu)
}

impl Cpu {
    const fn new() -> Self {
        Self {
            apic_id: zero(),
            acknowledged: zero(),
            finished: zero(),
            iterations: zero(),
            traced: zero(),
            logged: zero(),
            seed: AtomicU64::new(1),
            n_steps: zero(),
            steps: [const { Step::new() }; MAX_STEPS],
            counters: Counters::new(),
            first: Violation::new(),
            seen: Seen::new(),
            last: zero(),
            began_tsc: zero(),
            ended_tsc: zero(),
            n_logged: zero(),
            log: [const { LogEntry::new() }; LOG_CAPACITY],
            calling: zero(),
            line: [const { AtomicU8::new(0) }; LINE_BYTES],
            answer: [const { AtomicU8::new(0) }; ANSWER_BYTES],
        }
    }

    /// Forgets the results of the last run. The program stays.
    pub fn clear_results(&self) {
        for (_, counter) in self.counters.named() {
            counter.store(0, Relaxed);
        }
        self.first.op.store(0, Relaxed);
        self.seen.looks.store(0, Relaxed);
        self.n_logged.store(0, Relaxed);
    }
}

/// Counts up a number that only this CPU writes. It needs no atomic step.
pub fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}
