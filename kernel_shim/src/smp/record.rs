//! The table through which programs are given to CPUs, laid out for the host to use it from outside.

use crate::arch::MAX_CPUS;
use core::sync::atomic::{AtomicU64, AtomicU8, Ordering::Relaxed};

/// Steps of one program.
pub const MAX_STEPS: usize = 16;
/// Frames that steps can name.
pub const MAX_FRAMES: usize = 16;
/// Steps that a log has room for; later ones are only counted.
pub const LOG_CAPACITY: usize = 64;
/// Of the command line of a step `call`.
pub const LINE_BYTES: usize = 128;
/// Of its answer.
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

/// One CPU: its program, what came of it.
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
    /// Not 0: it calls `smp_step_begins` and `smp_step_ended` around each step.
    pub traced: AtomicU64,
    /// Not 0: it writes the log.
    pub logged: AtomicU64,
    /// Of its random numbers; never 0.
    pub seed: AtomicU64,
    pub n_steps: AtomicU64,
    pub steps: [Step; MAX_STEPS],
    pub counters: Counters,
    /// The first violation.
    pub first: Violation,
    /// What `look` saw last.
    pub seen: Seen,
    /// What the last step returned.
    pub last: AtomicU64,
    pub began_tsc: AtomicU64,
    pub ended_tsc: AtomicU64,
    /// Steps since the run began, those without room in the log, too.
    pub n_logged: AtomicU64,
    pub log: [LogEntry; LOG_CAPACITY],
    /// Not 0: it runs a command for a step `call`.
    pub calling: AtomicU64,
    /// The command line for `call`, which the host writes; a 0 ends it.
    pub line: [AtomicU8; LINE_BYTES],
    /// What came of it; a 0 ends it.
    pub answer: [AtomicU8; ANSWER_BYTES],
}

/// One operation; `op` is the number of an [`super::operation::Op`].
#[repr(C)]
pub struct Step {
    pub op: AtomicU64,
    /// Index into `frames`.
    pub frame: AtomicU64,
    pub value: AtomicU64,
    /// Turns of an empty loop before the step, up to this many, at random.
    pub delay: AtomicU64,
}

/// What happened in a run, counted by the CPU alone.
#[repr(C)]
pub struct Counters {
    pub iterations: AtomicU64,
    pub steps: AtomicU64,
    pub allocated: AtomicU64,
    pub released: AtomicU64,
    pub out_of_memory: AtomicU64,
    /// Claims that succeeded.
    pub won: AtomicU64,
    /// Claims that found the frame taken.
    pub lost: AtomicU64,
    /// `dec_ref` that returned 1.
    pub last_refs: AtomicU64,
    /// Times that `tally` was as expected.
    pub rounds: AtomicU64,
    /// Looks that found the frame live.
    pub live: AtomicU64,
    /// Hooks that were called on this CPU.
    pub on_last_ref: AtomicU64,
    pub on_unmap: AtomicU64,
    /// Expectations that failed; the first is in `first`.
    pub violations: AtomicU64,
    pub panics: AtomicU64,
}

/// An expectation that failed.
#[repr(C)]
pub struct Violation {
    /// Number of the operation, plus 1; 0 when there was none.
    pub op: AtomicU64,
    pub paddr: AtomicU64,
    pub expected: AtomicU64,
    pub got: AtomicU64,
    pub iteration: AtomicU64,
    pub tsc: AtomicU64,
}

/// One slot as a reader found it, in the order of the loads; the count first.
#[repr(C)]
pub struct Seen {
    pub refcount: AtomicU64,
    pub generation: AtomicU64,
    pub guard: AtomicU64,
    pub vtable: AtomicU64,
    pub flags: AtomicU64,
    pub order: AtomicU64,
    pub payload: AtomicU64,
    pub looks: AtomicU64,
}

/// One step that was carried out.
#[repr(C)]
pub struct LogEntry {
    pub began_tsc: AtomicU64,
    pub ended_tsc: AtomicU64,
    pub op: AtomicU64,
    pub paddr: AtomicU64,
    /// What the subject's function returned.
    pub result: AtomicU64,
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
            steps: [const { Step { op: zero(), frame: zero(), value: zero(), delay: zero() } }; MAX_STEPS],
            counters: Counters::new(),
            first: Violation {
                op: zero(),
                paddr: zero(),
                expected: zero(),
                got: zero(),
                iteration: zero(),
                tsc: zero(),
            },
            seen: Seen {
                refcount: zero(),
                generation: zero(),
                guard: zero(),
                vtable: zero(),
                flags: zero(),
                order: zero(),
                payload: zero(),
                looks: zero(),
            },
            last: zero(),
            began_tsc: zero(),
            ended_tsc: zero(),
            n_logged: zero(),
            log: [const {
                LogEntry { began_tsc: zero(), ended_tsc: zero(), op: zero(), paddr: zero(), result: zero() }
            }; LOG_CAPACITY],
            calling: zero(),
            line: [const { AtomicU8::new(0) }; LINE_BYTES],
            answer: [const { AtomicU8::new(0) }; ANSWER_BYTES],
        }
    }

    /// Forgets what the last run left; the program stays.
    pub fn clear_results(&self) {
        for (_, counter) in self.counters.named() {
            counter.store(0, Relaxed);
        }
        self.first.op.store(0, Relaxed);
        self.seen.looks.store(0, Relaxed);
        self.n_logged.store(0, Relaxed);
    }
}

impl Counters {
    const fn new() -> Self {
        Self {
            iterations: zero(),
            steps: zero(),
            allocated: zero(),
            released: zero(),
            out_of_memory: zero(),
            won: zero(),
            lost: zero(),
            last_refs: zero(),
            rounds: zero(),
            live: zero(),
            on_last_ref: zero(),
            on_unmap: zero(),
            violations: zero(),
            panics: zero(),
        }
    }

    /// Each counter under its name.
    pub fn named(&self) -> [(&'static str, &AtomicU64); 14] {
        [
            ("iterations", &self.iterations),
            ("steps", &self.steps),
            ("allocated", &self.allocated),
            ("released", &self.released),
            ("out_of_memory", &self.out_of_memory),
            ("won", &self.won),
            ("lost", &self.lost),
            ("last_refs", &self.last_refs),
            ("rounds", &self.rounds),
            ("live", &self.live),
            ("on_last_ref", &self.on_last_ref),
            ("on_unmap", &self.on_unmap),
            ("violations", &self.violations),
            ("panics", &self.panics),
        ]
    }
}

/// Counts up a number that only this CPU writes: cheaper than an atomic step, and as good.
pub fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}
