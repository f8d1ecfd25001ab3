//! Random work of several CPUs on the core at the same time.
//!
//! A CPU writes its mark into the first word of each frame that it gets, and looks for it when it gives the frame back. Marks
//! of another CPU, or of the CPU itself in a frame that it gets, show that a frame is in two hands.
//!
//! Requests come in tides: any, then many of one sort, so that caches run full; then all CPUs give everything back at once.

use crate::arch::paging::phys_to_virt;
use crate::cpus::record::{count, Counters, Cpu, SMP};
use crate::cpus::rounds;
use crate::frame_module;
use crate::memory_core::{MemoryCore, Wanted};
use crate::sync::noise;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::{mem, ptr};
use shim_parts::command::{refused, Args, Code, CommandResult, Reply};
use shim_parts::random::Random;
use shim_parts::zone::Migratetype;
use spin::Mutex;

/// The most blocks that a CPU holds at once: more than twice as many as a cache. Among any requests it holds few.
const HELD: usize = 640;
/// The turns of a tide, and those in which it rises.
const TIDE: u64 = 1500;
const RISES: core::ops::Range<u64> = 300..900;
/// What marks begin with, ours: `stor`. The number of the round and that of the CPU follow.
const MARK: u64 = 0x7374_6f72 << 32;
const CPU_BITS: u64 = 0xff;
const PAGE_SIZE: u64 = shim_parts::PAGE_SIZE;

/// A block's address and order.
type Held = (u64, u8);

/// Blocks on their way from one CPU to another, which frees them; each has one of so many places.
static HANDED_ON: Mutex<[Option<Held>; HANDED_ON_AT]> = Mutex::new([None; HANDED_ON_AT]);
const HANDED_ON_AT: usize = 4;

/// The round that is a storm. Relaxed: a CPU that takes part has seen the round begin.
static ROUND: AtomicU64 = AtomicU64::new(0);

/// Whether the present round is a storm, and no round of another kind.
#[cfg_attr(kernel_tree, allow(dead_code))]
pub fn is_on() -> bool {
    ROUND.load(Relaxed) == SMP.run.load(Relaxed)
}

/// The command: lets the CPUs work, and says what they counted.
pub fn storm(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (cpus, iterations, seed) = (args.u64("cpus")?, args.u64("iterations")?, args.u64("seed")?);
    args.end()?;
    rounds::require_idle()?;
    let ready = SMP.ready();
    if !(1..=ready).contains(&cpus) {
        return Err(refused(Code::Range, format_args!("cpus: expected 1 to {ready}, got {cpus}")));
    }
    let workers = || SMP.cpus[..cpus as usize].iter();
    for (number, cpu) in workers().enumerate() {
        cpu.iterations.store(iterations, Relaxed);
        cpu.seed.store((seed << 8) + number as u64 + 1, Relaxed);
    }
    ROUND.store(SMP.run.load(Relaxed) + 1, Relaxed);
    rounds::run((1 << cpus) - 1);
    let sum = |of: fn(&Counters) -> &AtomicU64| workers().map(|cpu| of(&cpu.counters).load(Relaxed)).sum::<u64>();
    reply.field("allocated", sum(|counters| &counters.allocated));
    reply.field("violations", sum(|counters| &counters.violations));
    let first = workers().find(|cpu| cpu.first.op.load(Relaxed) != 0);
    reply.hex("paddr", first.map_or(0, |cpu| cpu.first.paddr.load(Relaxed)));
    Ok(())
}

/// The work of one CPU in a round: `iterations` requests, then all is given back.
pub fn work<C: MemoryCore>(me: &'static Cpu) {
    noise::begin(me.seed.load(Relaxed));
    request_and_release::<C>(me);
    noise::end();
}

fn request_and_release<C: MemoryCore>(me: &'static Cpu) {
    let seed = me.seed.load(Relaxed);
    let mut random = Random::new(seed);
    let mut held = [(0, 0); HELD];
    let (mut count_of_held, mut ended) = (0, u64::MAX);
    for turn in 0..me.iterations.load(Relaxed) {
        if SMP.stopped() {
            return;
        }
        let tide = turn / TIDE;
        if turn % TIDE == RISES.end {
            SMP.arrived.fetch_add(1, Relaxed);
            let everybody = (tide + 1) * u64::from(SMP.participants.load(Relaxed).count_ones());
            while SMP.arrived.load(Relaxed) < everybody && !SMP.stopped() {
                core::hint::spin_loop();
            }
        }
        let rises = RISES.contains(&(turn % TIDE)) && tide != ended;
        let mixes = turn % TIDE < RISES.start && count_of_held < 24 && random.below(2) == 0;
        if count_of_held == 0 || (count_of_held < HELD && (rises || mixes)) {
            let sort = rises.then(|| (tide as u8 % 2, Migratetype::ALL[((seed ^ seed >> 8) % 2) as usize]));
            if let Some(block) = allocate::<C>(me, &mut random, sort) {
                held[count_of_held] = block;
                count_of_held += 1;
            } else if rises {
                ended = tide;
            }
        } else {
            let newest = if turn % TIDE < RISES.end { count_of_held } else { 2 };
            let at = count_of_held - 1 - random.below(newest.min(count_of_held) as u64) as usize;
            let (block, place) = (held[at], random.below(16) as usize);
            count_of_held -= 1;
            held[at] = held[count_of_held];
            if place >= HANDED_ON_AT {
                release(me, block);
            } else if let Some(other) = exchange(me, place, Some(block)) {
                held[count_of_held] = other;
                count_of_held += 1;
            }
        }
    }
    held[..count_of_held].iter().for_each(|&block| release(me, block));
    // The last CPU to come here leaves nothing behind.
    (0..HANDED_ON_AT).filter_map(|place| exchange(me, place, None)).for_each(|block| release(me, block));
}

/// Leaves a block for another CPU, and takes over what was left in the same place.
fn exchange(me: &Cpu, place: usize, left: Option<Held>) -> Option<Held> {
    let block = mem::replace(&mut HANDED_ON.lock()[place], left)?;
    write_marks(me, block, mark_of(me), |before| before & !CPU_BITS == mark_of(me) & !CPU_BITS);
    Some(block)
}

/// A block of that order and kind, or any.
fn allocate<C: MemoryCore>(me: &Cpu, random: &mut Random, sort: Option<(u8, Migratetype)>) -> Option<Held> {
    // Small ones mostly; the numbers are ours.
    let order = if random.below(32) == 0 { 4 + random.below(6) } else { random.below(8).saturating_sub(4) } as u8;
    let kind = Migratetype::ALL[random.below(2) as usize];
    let (order, kind) = sort.unwrap_or((order, kind));
    let paddr = C::allocate(&Wanted { order, kind, zone: None }).ok()?;
    count(&me.counters.allocated);
    assert!(paddr % PAGE_SIZE == 0, "storm: {paddr:#x}: expected the address of a page");
    let held = (paddr, order);
    write_marks(me, held, mark_of(me), |before| before & !CPU_BITS != mark_of(me) & !CPU_BITS);
    Some(held)
}

fn release(me: &Cpu, block: Held) {
    let mine = mark_of(me);
    write_marks(me, block, 0, |before| before == mine);
    frame_module::free(block.0, block.1);
}

/// Writes a mark into each frame of a block. A word that was there before, and is not right, is a violation.
fn write_marks(me: &Cpu, (first, order): Held, mark: u64, is_right: impl Fn(u64) -> bool) {
    for page in 0..1 << order {
        let paddr = first + page * PAGE_SIZE;
        let word = ptr::with_exposed_provenance::<AtomicU64>(phys_to_virt(paddr) as usize);
        // SAFETY: the host lets a storm run only on a core whose memory is RAM that the HHDM maps; a frame's first word is
        // aligned, as `allocate` checks, and any bits are valid. Words of frames are reached through such atomics alone as long as a storm lasts.
        let before = unsafe { &*word }.swap(mark, Relaxed);
        if !is_right(before) {
            count(&me.counters.violations);
            if me.first.op.swap(1, Relaxed) == 0 {
                me.first.paddr.store(paddr, Relaxed);
            }
        }
    }
}

fn mark_of(me: &Cpu) -> u64 {
    // No round has the number of an earlier one, whose marks may still be in memory. The fields' sizes are ours.
    MARK | (SMP.run.load(Relaxed) & 0xff_ffff) << 8 | ((me.apic_id.load(Relaxed) + 1) & CPU_BITS)
}
