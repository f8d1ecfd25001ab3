//! What a step of a program can do.

use super::call;
use super::held::{payload, slot, Broken, Held};
use super::program::barrier;
use super::record::{count, Cpu, SMP};
use crate::memory::hooks;
#[cfg(older)]
use crate::memory::subject::SlotMethods as _;
use crate::memory::subject::{frame_flags, FramePurpose, REFCOUNT_UNUSED};
use crate::memory::zone::Migratetype;
use core::arch::asm;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};

macro_rules! operations {
    ($($variant:ident $name:literal $help:literal,)*) => {
        /// The operations; a step holds the number of one.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Op { $($variant,)* }

        impl Op {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

operations! {
    Inc "inc" "take a reference",
    Dec "dec" "drop a reference; the last one is tallied",
    Claim "claim" "swap the count from unused to 1; success is tallied",
    Own "own" "claim; while it is ours, expect nobody else's mark in the slot; then unused again",
    Cas "cas" "swap the count from the low half of the value to the high half",
    Set "set" "store the count",
    Alloc "alloc" "allocate for the kernel, not zeroed",
    AllocUser "alloc.user" "allocate for a user, not zeroed",
    AllocZeroed "alloc.zeroed" "allocate for the kernel, zeroed",
    AllocCustom "alloc.custom" "allocate with these flags, not zeroed",
    Hook "hook" "register hooks for the frame allocated last",
    Drop "drop" "release the frame allocated last",
    Churn "churn" "allocate or release at random, blocks up to this order among them",
    Poison "poison" "mark as poisoned",
    Or "or" "set flag bits, atomically",
    AndNot "andnot" "clear flag bits, atomically",
    Has "has" "expect flag bits to be set",
    HasNot "hasnot" "expect flag bits to be clear",
    Heal "heal" "store a guard without poison",
    Look "look" "read count, generation, guard, vtable, flags, order, payload",
    Life "life" "where the count is 1: expect COW or DLL by generation, COW where its low bit is the value",
    Barrier "barrier" "wait for the other CPUs",
    Tally "tally" "expect this many tallied, begin again",
    Nothing "nothing" "do nothing",
    Panic "panic" "panic",
    Fault "fault" "raise an exception",
    Call "call" "run the command line that the host wrote for this CPU",
}

/// A step, read once from the table.
#[derive(Clone, Copy)]
pub struct Step {
    pub op: Op,
    pub paddr: u64,
    pub value: u64,
    pub delay: u64,
}

/// What became of a step.
pub enum Done {
    /// With what the subject returned.
    Value(u64),
    Broken(Broken),
    /// The run is over.
    Stopped,
}

impl Done {
    /// What the subject returned; 0 where that does not matter any more.
    pub fn value(&self) -> u64 {
        match self {
            Self::Value(value) => *value,
            Self::Broken(_) | Self::Stopped => 0,
        }
    }
}

impl From<Result<u64, Broken>> for Done {
    fn from(result: Result<u64, Broken>) -> Self {
        match result {
            Ok(value) => Self::Value(value),
            Err(broken) => Self::Broken(broken),
        }
    }
}

/// What a CPU has while its program runs.
pub struct Context {
    pub me: &'static Cpu,
    pub held: Held,
    pub random: Random,
}

/// xorshift64 (Marsaglia, 2003).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }
}

impl Context {
    pub fn carry_out(&mut self, step: Step) -> Done {
        let Step { op, paddr, value, .. } = step;
        match op {
            Op::Inc | Op::Dec | Op::Claim | Op::Cas | Op::Set => Done::Value(self.count(step)),
            Op::Own => self.own(step),
            Op::Alloc => self.allocate(FramePurpose::KernelData, false),
            Op::AllocUser => self.allocate(FramePurpose::UserData, false),
            Op::AllocZeroed => self.allocate(FramePurpose::KernelData, true),
            Op::AllocCustom => self.allocate(FramePurpose::Custom(value as u32), false),
            Op::Hook => {
                self.held.hook_if_frame(hooks_address());
                Done::Value(0)
            }
            Op::Drop => self.held.release(self.held.len().wrapping_sub(1), &self.me.counters).into(),
            Op::Churn => self.churn(value as u8),
            Op::Poison | Op::Or | Op::AndNot | Op::Heal => Done::Value(mark(step)),
            Op::Has => expect(paddr, value, slot(paddr).get_flags() & value as u32),
            Op::HasNot => expect(paddr, 0, slot(paddr).get_flags() & value as u32),
            Op::Look => self.look(paddr),
            Op::Life => self.life(paddr, value),
            Op::Barrier => {
                if barrier() {
                    Done::Value(0)
                } else {
                    Done::Stopped
                }
            }
            Op::Tally => self.tally(value),
            Op::Nothing => Done::Value(0),
            Op::Call => Done::Value(call::carry_out(self.me)),
            Op::Panic => panic!("crash requested: a program asked for a panic"),
            // SAFETY: raises #UD, whose handler does not return.
            Op::Fault => unsafe { asm!("ud2", options(noreturn)) },
        }
    }

    fn count(&self, Step { op, paddr, value, .. }: Step) -> u64 {
        let (slot, tally) = (slot(paddr), &self.me.counters);
        match op {
            Op::Inc => {
                slot.inc_ref();
                0
            }
            Op::Dec => {
                let before = slot.dec_ref();
                if before == 1 {
                    count(&tally.last_refs);
                    // Relaxed: whoever reads the tally has met this CPU at a barrier since.
                    SMP.tally.fetch_add(1, Relaxed);
                }
                before.into()
            }
            Op::Claim => match slot.cas_refcount(REFCOUNT_UNUSED, 1) {
                Ok(_) => {
                    count(&tally.won);
                    SMP.tally.fetch_add(1, Relaxed);
                    1
                }
                Err(_) => {
                    count(&tally.lost);
                    0
                }
            },
            Op::Cas => match slot.cas_refcount(value as u32, (value >> 32) as u32) {
                Ok(before) => 1 << 32 | u64::from(before),
                Err(found) => found.into(),
            },
            _ => {
                slot.set_refcount(value as u32);
                0
            }
        }
    }

    /// Uses the count as a lock: whoever claims the frame has it alone, until the count is the sentinel again.
    fn own(&mut self, step: Step) -> Done {
        if self.count(Step { op: Op::Claim, ..step }) == 0 {
            return Done::Value(0);
        }
        let result = self.held.own(step.paddr);
        slot(step.paddr).set_refcount(REFCOUNT_UNUSED);
        result.into()
    }

    fn allocate(&mut self, purpose: FramePurpose, zeroed: bool) -> Done {
        if self.held.is_full() {
            return Done::Value(0);
        }
        self.held.allocate(purpose, zeroed, &self.me.counters).into()
    }

    fn churn(&mut self, max_order: u8) -> Done {
        let dice = self.random.next() >> 16;
        let held = self.held.len() as u64;
        if held > 0 && (self.held.is_full() || dice & 1 == 0) {
            let index = self.random.below(held) as usize;
            return self.held.release(index, &self.me.counters).into();
        }
        let tally = &self.me.counters;
        let movable = dice & 2 == 0;
        match self.random.below(u64::from(max_order) + 4) as u8 {
            order if (1..=max_order).contains(&order) => {
                let wanted = if movable { Migratetype::Movable } else { Migratetype::Unmovable };
                self.held.take_block(order, wanted, tally).into()
            }
            _ => {
                let purpose = if movable { FramePurpose::UserData } else { FramePurpose::KernelData };
                let result = self.held.allocate(purpose, dice & 28 == 0, tally);
                if dice & 32 == 0 {
                    self.held.hook_if_frame(hooks_address());
                }
                result.into()
            }
        }
    }

    /// The loads of a reader that takes a count of 1 for a frame that is alive.
    fn look(&self, paddr: u64) -> Done {
        let (slot, seen) = (slot(paddr), &self.me.seen);
        let refcount = slot.get_refcount();
        let values = [
            (&seen.refcount, u64::from(refcount)),
            (&seen.generation, slot.generation().into()),
            (&seen.guard, slot.get_guard().into()),
            (&seen.vtable, slot.vtable_bits()),
            (&seen.flags, slot.get_flags().into()),
            (&seen.order, slot.get_order().into()),
            (&seen.payload, payload(paddr).load(Relaxed)),
        ];
        values.iter().for_each(|(cell, value)| cell.store(*value, Relaxed));
        count(&seen.looks);
        Done::Value(refcount.into())
    }

    /// Flags and generation between two looks that find the same life must be of that life.
    fn life(&self, paddr: u64, parity: u64) -> Done {
        let slot = slot(paddr);
        if slot.get_refcount() != 1 {
            return Done::Value(0);
        }
        let (generation, flags) = (slot.generation(), slot.get_flags());
        if slot.get_refcount() != 1 || slot.generation() != generation {
            return Done::Value(0);
        }
        count(&self.me.counters.live);
        let cow = u64::from(generation) & 1 == parity;
        let expected = if cow { frame_flags::COW } else { frame_flags::DLL };
        expect(paddr, expected.into(), flags & (frame_flags::COW | frame_flags::DLL))
    }

    fn tally(&self, expected: u64) -> Done {
        let got = SMP.tally.swap(0, Relaxed);
        if got == expected {
            count(&self.me.counters.rounds);
            Done::Value(got)
        } else {
            Done::Broken(Broken { paddr: 0, expected, got })
        }
    }
}

fn hooks_address() -> u64 {
    hooks::vtable_address("both").unwrap_or(0)
}

/// Changes flags or guard of a frame, as other parts of a kernel do.
fn mark(Step { op, paddr, value, .. }: Step) -> u64 {
    let (slot, bits) = (slot(paddr), value as u32);
    match op {
        Op::Poison => slot.mark_poisoned(),
        // AcqRel: as the buddy's stamps; Release pairs with the load in `get_flags`.
        Op::Or => return slot.flags.fetch_or(bits, AcqRel).into(),
        Op::AndNot => return slot.flags.fetch_and(!bits, AcqRel).into(),
        _ => slot.set_guard(0),
    }
    0
}

fn expect(paddr: u64, expected: u64, got: u32) -> Done {
    if u64::from(got) == expected {
        Done::Value(got.into())
    } else {
        Done::Broken(Broken { paddr, expected, got: got.into() })
    }
}
