//! What calls of the core cost, in ticks of the time stamp counter.
//!
//! A tick is an instruction of the guest where QEMU runs with `-icount shift=0`, on one CPU; elsewhere the numbers mean
//! nothing. The host starts such a guest where it asks for these numbers, and proves it by `work.loop`.

use super::lock_or_refuse;
use crate::arch::cpu::time_stamp;
use crate::frame_module;
use crate::memory_core::{MemoryCore, Wanted, WANTED, WANTED_AND_MOST};
use core::hint::black_box;
use core::sync::atomic::{compiler_fence, Ordering::SeqCst};
use shim_parts::command::{failed, refused, Args, Code, Command, CommandError, CommandResult, Reply};
use shim_parts::{paddr_to_pfn, pfn_to_paddr, PAGE_SIZE};
use spin::Mutex;

/// The commands for the core `C`.
pub const fn commands<C: MemoryCore>() -> [Command; 6] {
    [
        Command::new("work.loop", "<rounds>", "ticks of a loop of two instructions a round", known_loop),
        Command::new("work.start", "[end of the HHDM]", "core.start, and what it costs", start::<C>),
        Command::new("work.scatter", WANTED, "take all blocks of a sort, give every second place back", scatter::<C>),
        Command::new("work.alloc", WANTED_AND_MOST, "allocate blocks", alloc::<C>),
        Command::new("work.free", "", "free what work.alloc allocated last", free),
        Command::new("work.merge", "<most>", "free blocks whose neighbors work.scatter gave back", merge),
    ]
}

/// Frames below 1 GiB: the guests that count instructions have less memory.
const FRAMES: usize = 1 << 18;
const MOST_ORDER: u8 = 17;
const MOST_TAKEN: usize = 1024;

/// The blocks that these commands hold. They are noted here and not in the blocks: a core may give what is not its own.
struct Blocks {
    /// A bit for each frame where a block begins that `scatter` took.
    held: [u64; FRAMES / 64],
    /// Of the blocks in `held`.
    order: u8,
    taken: [u64; MOST_TAKEN],
    taken_order: u8,
    count: usize,
}

static BLOCKS: Mutex<Blocks> =
    Mutex::new(Blocks { held: [0; FRAMES / 64], order: 0, taken: [0; MOST_TAKEN], taken_order: 0, count: 0 });

/// What some calls of one sort cost.
#[derive(Default)]
struct Cost {
    calls: u64,
    total: u64,
    most: u64,
}

impl Cost {
    fn of<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let before = time_stamp();
        compiler_fence(SeqCst);
        let result = call();
        compiler_fence(SeqCst);
        let work = time_stamp().wrapping_sub(before);
        self.calls += 1;
        self.total += work;
        self.most = self.most.max(work);
        result
    }

    fn tell(&self, reply: &mut Reply) {
        reply.field("calls", self.calls);
        reply.field("total", self.total);
        reply.field("most", self.most);
    }
}

fn known_loop(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let rounds = args.only(|args| args.u64("rounds"))?;
    if rounds == 0 {
        return Err(refused(Code::Range, format_args!("rounds: expected 1 or more, got 0")));
    }
    let mut cost = Cost::default();
    cost.of(|| {
        // SAFETY: it changes one register, which is its own, and the flags.
        unsafe { core::arch::asm!("2: dec {0}", "jnz 2b", inout(reg) rounds => _, options(nomem, nostack)) }
    });
    cost.tell(reply);
    Ok(())
}

fn start<C: MemoryCore>(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let hhdm_end = args.only(|args| args.u64_or("end of the HHDM", u64::MAX))?;
    let mut blocks = lock_or_refuse(&BLOCKS)?;
    blocks.held.fill(0);
    blocks.count = 0;
    let mut cost = Cost::default();
    cost.of(|| C::start(hhdm_end));
    cost.tell(reply);
    Ok(())
}

/// What to allocate, of an order whose blocks have an address.
fn parse(args: &mut Args<'_>) -> Result<Wanted, CommandError> {
    let wanted = Wanted::parse(args)?;
    if wanted.order > MOST_ORDER {
        return Err(refused(Code::Range, format_args!("order: expected at most {MOST_ORDER}, got {}", wanted.order)));
    }
    Ok(wanted)
}

/// Kept for good are blocks that begin at a wrong place, or behind the frames that are noted, or whose neighbor the core did
/// not give: nobody can say what their free does.
fn scatter<C: MemoryCore>(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let wanted = args.only(parse)?;
    let size = PAGE_SIZE << wanted.order;
    let mut blocks = lock_or_refuse(&BLOCKS)?;
    blocks.order = wanted.order;
    let mut given = 0;
    while let Ok(paddr) = C::allocate(&wanted) {
        given += 1;
        if given > FRAMES {
            return Err(failed("MoreThanAllFrames")); // a core that gives one block twice would go on for ever
        }
        let pfn = paddr_to_pfn(paddr) as usize;
        if paddr % size == 0 && pfn < FRAMES {
            blocks.held[pfn / 64] |= 1 << (pfn % 64);
        }
    }
    let mut given_back = 0_u64;
    for pfn in 0..FRAMES {
        if blocks.held[pfn / 64] >> (pfn % 64) & 1 == 0 {
            continue;
        }
        if pfn >> wanted.order & 1 == 0 {
            let neighbor = pfn + (1 << wanted.order);
            if neighbor >= FRAMES || blocks.held[neighbor / 64] >> (neighbor % 64) & 1 == 0 {
                blocks.held[pfn / 64] &= !(1 << (pfn % 64));
            }
            continue;
        }
        blocks.held[pfn / 64] &= !(1 << (pfn % 64));
        frame_module::free(pfn_to_paddr(pfn as u64), wanted.order);
        given_back += 1;
    }
    reply.field("free", given_back);
    Ok(())
}

/// Stops at the first request that fails, which is told apart from the others.
fn alloc<C: MemoryCore>(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (wanted, most) = (parse(args)?, args.u64("most")?);
    args.end()?;
    if most > MOST_TAKEN as u64 {
        return Err(refused(Code::Range, format_args!("most: expected at most {MOST_TAKEN}, got {most}")));
    }
    let mut blocks = lock_or_refuse(&BLOCKS)?;
    (blocks.count, blocks.taken_order) = (0, wanted.order);
    let (mut cost, mut refusal) = (Cost::default(), Cost::default());
    for _ in 0..most {
        let mut this = Cost::default();
        let Ok(paddr) = this.of(|| black_box(C::allocate(&wanted))) else {
            refusal = this;
            break;
        };
        let at = blocks.count;
        blocks.taken[at] = paddr;
        blocks.count += 1;
        cost.calls += 1;
        cost.total += this.total;
        cost.most = cost.most.max(this.most);
    }
    cost.tell(reply);
    reply.field("refusal", refusal.total);
    Ok(())
}

fn free(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let mut blocks = lock_or_refuse(&BLOCKS)?;
    let mut cost = Cost::default();
    for at in 0..blocks.count {
        // A block at a wrong place should not have been given: its free proves nothing.
        if blocks.taken[at] % (PAGE_SIZE << blocks.taken_order) == 0 {
            cost.of(|| frame_module::free(blocks.taken[at], blocks.taken_order));
        }
    }
    blocks.count = 0;
    cost.tell(reply);
    Ok(())
}

/// The blocks lie all over memory, so all over the lists.
fn merge(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let most = args.only(|args| args.u64("most"))?;
    let mut blocks = lock_or_refuse(&BLOCKS)?;
    let held: u64 = blocks.held.iter().map(|word| u64::from(word.count_ones())).sum();
    let step = held / most.clamp(1, held.max(1));
    let (mut cost, mut seen) = (Cost::default(), 0);
    for pfn in 0..FRAMES {
        if blocks.held[pfn / 64] >> (pfn % 64) & 1 == 0 {
            continue;
        }
        if seen % step == 0 && cost.calls < most {
            blocks.held[pfn / 64] &= !(1 << (pfn % 64));
            cost.of(|| frame_module::free(pfn_to_paddr(pfn as u64), blocks.order));
        }
        seen += 1;
    }
    cost.tell(reply);
    Ok(())
}
