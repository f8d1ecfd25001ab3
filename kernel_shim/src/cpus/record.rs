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

/// Declares structures of members that are words, all 0 at first, unless a type and a first value are said.
macro_rules! shared {
    (@type) => { AtomicU64 };
    (@type $type:ty) => { $type };
    (@first) => { zero() };
    (@first $first:expr) => { $first };
    ($($(#[$doc:meta])* $name:ident { $($(#[$of_member:meta])* $member:ident $(: $type:ty = $first:expr)?,)* })*) => { $(
        $(#[$doc])*
        #[repr(C)]
        pub struct $name {
            $($(#[$of_member])* pub $member: shared!(@type $($type)?),)*
        }

        impl $name {
            const fn new() -> Self {
                Self { $($member: shared!(@first $($first)?),)* }
            }
        }
    )* };
}

shared! {
    /// Everything that CPUs share while programs run.
    ///
    /// Fields are written before a run begins or by the CPU that they belong to, so that most accesses are relaxed: the
    /// stores of `run`, `go` and `finished` (Release), each with its Acquire load, order them.
    Smp {
        /// CPUs that run, the boot CPU included.
        ready: AtomicU64 = AtomicU64::new(1),
        /// Number of the present run, from 1.
        run,
        /// The run whose CPUs may begin: all of them are awake.
        go,
        /// Bit for each CPU that takes part.
        participants,
        /// The run whose programs end with their present iteration, set by the host or by a CPU that panicked. A number, so
        /// that a host's clock may run out before the run begins or after it ended.
        stop,
        /// CPUs that wait at the barrier.
        arrived,
        /// How often the barrier opened.
        phase,
        /// A number that all CPUs count up, for `tally`.
        tally,
        /// Physical addresses of the frames that steps name by their index.
        frames: [AtomicU64; MAX_FRAMES] = [const { zero() }; MAX_FRAMES],
        cpus: [Cpu; MAX_CPUS] = [const { Cpu::new() }; MAX_CPUS],
    }

    /// One CPU: its program and the results.
    Cpu {
        /// The initial APIC id, by which a debugger tells CPUs apart.
        apic_id,
        /// The last run that it woke up for.
        acknowledged,
        /// The last run that it took part in to the end.
        finished,
        /// How often the program is repeated.
        iterations,
        /// Not 0: it calls `smp_step_comes` and `smp_step_ended` around each step.
        traced,
        /// Not 0: it writes the log.
        logged,
        /// The seed of its random numbers. Never 0.
        seed: AtomicU64 = AtomicU64::new(1),
        n_steps,
        steps: [Step; MAX_STEPS] = [const { Step::new() }; MAX_STEPS],
        counters: Counters = Counters::new(),
        /// The first violation.
        first: Violation = Violation::new(),
        /// The last result of `look`.
        seen: Seen = Seen::new(),
        /// The result of the last step.
        last,
        began_tsc,
        ended_tsc,
        /// Steps since the run began, those without room in the log, too.
        n_logged,
        log: [LogEntry; LOG_CAPACITY] = [const { LogEntry::new() }; LOG_CAPACITY],
        /// Not 0: it runs a command for a step `call`.
        calling,
        /// The command line for `call`, which the host writes, up to a 0.
        line: [AtomicU8; LINE_BYTES] = [const { AtomicU8::new(0) }; LINE_BYTES],
        /// Its answer, up to a 0.
        answer: [AtomicU8; ANSWER_BYTES] = [const { AtomicU8::new(0) }; ANSWER_BYTES],
    }
}

/// Declares those that have nothing but words, each of which is known by its name, too.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident,)* })*) => { $(
        shared! { $(#[$doc])* $name { $($(#[$of_field])* $field,)* } }

        impl $name {
            /// Each word under its name.
            #[allow(dead_code)]
            pub fn named(&self) -> impl Iterator<Item = (&'static str, &AtomicU64)> {
                [$((stringify!($field), &self.$field),)*].into_iter()
            }
        }
    )* };
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
pub static SMP: Smp = Smp::new();

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
