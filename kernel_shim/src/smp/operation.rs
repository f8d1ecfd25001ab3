//! Carries out the steps of a program.

use super::barrier::barrier;
use super::call;
use super::held::{payload, slot, Broken, Held};
use crate::cpus::record::{count, Cpu, SMP};
#[cfg(older)]
use crate::memory::subject::SlotMethods as _;
use crate::memory::subject::{frame_flags, FramePurpose, REFCOUNT_UNUSED};
use crate::memory::vtables;
use core::arch::asm;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use shim_parts::random::Random;
use shim_parts::step::Op;
use shim_parts::zone::Migratetype;
use shim_parts::PAGE_SIZE;

/// A step, as it was read from the table.
#[derive(Clone, Copy)]
pub struct Step {
    pub op: Op,
    pub paddr: u64,
    pub value: u64,
    pub delay: u64,
}

/// What a step came to: the value that the subject returned, 0 where it returns none.
pub type Done = Result<u64, Ended>;

/// Why a step has no value.
pub enum Ended {
    Broken(Broken),
    /// The run is over.
    Stopped,
}

/// The state of a CPU while its program runs.
pub struct Context {
    pub me: &'static Cpu,
    pub held: Held,
    pub random: Random,
}

impl Context {
    pub fn carry_out(&mut self, step: Step) -> Done {
        let Step { op, paddr, value, .. } = step;
        match op {
            Op::Inc | Op::Dec | Op::Claim | Op::Cas | Op::Set => Ok(self.count(step)),
            Op::Own => self.own(step),
            Op::Alloc => self.allocate(FramePurpose::KernelData, false),
            Op::AllocUser => self.allocate(FramePurpose::UserData, false),
            Op::AllocZeroed => self.allocate(FramePurpose::KernelData, true),
            Op::AllocTable => self.allocate(FramePurpose::PageTable, true),
            Op::AllocCustom => self.allocate(FramePurpose::Custom(value as u32), false),
            Op::Hook => {
                self.held.hook_if_frame(hooks_address());
                Ok(0)
            }
            Op::Clean | Op::Flagged => self.held.top().map_or(Ok(0), |block| inspect(step, block.paddr)),
            Op::Drop => self.held.release(self.held.len().wrapping_sub(1), &self.me.counters).map_err(Ended::Broken),
            Op::Churn => self.churn(value as u8),
            Op::Poison | Op::Or | Op::AndNot | Op::Heal => Ok(mark(step)),
            Op::Has => expect(paddr, value, u64::from(slot(paddr).get_flags()) & value),
            Op::HasNot => expect(paddr, 0, u64::from(slot(paddr).get_flags()) & value),
            Op::Look => self.look(paddr),
            Op::Life => self.life(paddr, value),
            Op::Barrier if barrier() => Ok(0),
            Op::Barrier => Err(Ended::Stopped),
            Op::Tally => self.tally(value),
            Op::Nothing => Ok(0),
            Op::Call => Ok(call::carry_out(self.me)),
            Op::Panic => panic!("crash requested: a program asked for a panic"),
            // SAFETY: raises #UD, whose handler does not return. Touches no memory.
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
                    // Relaxed: a reader of the tally has met this CPU at a barrier since.
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

    /// Uses the count as a lock: a CPU that claims the frame has it alone, until the count is the sentinel again.
    fn own(&mut self, step: Step) -> Done {
        if self.count(Step { op: Op::Claim, ..step }) == 0 {
            return Ok(0);
        }
        let result = self.held.own(step.paddr);
        slot(step.paddr).set_refcount(REFCOUNT_UNUSED);
        result.map_err(Ended::Broken)
    }

    fn allocate(&mut self, purpose: FramePurpose, zeroed: bool) -> Done {
        if self.held.is_full() {
            return Ok(0);
        }
        self.held.allocate(purpose, zeroed, &self.me.counters).map_err(Ended::Broken)
    }

    fn churn(&mut self, max_order: u8) -> Done {
        let dice = self.random.number() >> 16;
        let held = self.held.len() as u64;
        if held > 0 && (self.held.is_full() || dice & 1 == 0) {
            let index = self.random.below(held) as usize;
            return self.held.release(index, &self.me.counters).map_err(Ended::Broken);
        }
        let tally = &self.me.counters;
        let movable = dice & 2 == 0;
        match self.random.below(u64::from(max_order) + 4) as u8 {
            order if (1..=max_order).contains(&order) => {
                let wanted = if movable { Migratetype::Movable } else { Migratetype::Unmovable };
                self.held.take_block(order, wanted, tally).map_err(Ended::Broken)
            }
            _ => {
                let purpose = if movable { FramePurpose::UserData } else { FramePurpose::KernelData };
                let result = self.held.allocate(purpose, dice & 28 == 0, tally);
                if dice & 32 == 0 {
                    self.held.hook_if_frame(hooks_address());
                }
                result.map_err(Ended::Broken)
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
        Ok(refcount.into())
    }

    /// Flags and generation between two looks that find the same life must be of that life.
    fn life(&self, paddr: u64, parity: u64) -> Done {
        let slot = slot(paddr);
        if slot.get_refcount() != 1 {
            return Ok(0);
        }
        let (generation, flags) = (slot.generation(), slot.get_flags());
        if slot.get_refcount() != 1 || slot.generation() != generation {
            return Ok(0);
        }
        count(&self.me.counters.live);
        let cow = u64::from(generation) & 1 == parity;
        let expected = if cow { frame_flags::COW } else { frame_flags::DLL };
        expect(paddr, expected.into(), (flags & (frame_flags::COW | frame_flags::DLL)).into())
    }

    fn tally(&self, expected: u64) -> Done {
        let got = SMP.tally.swap(0, Relaxed);
        if got == expected {
            count(&self.me.counters.rounds);
            Ok(got)
        } else {
            Err(Ended::Broken(Broken { paddr: 0, expected, got }))
        }
    }
}

fn hooks_address() -> u64 {
    vtables::address("both").unwrap_or(0)
}

/// Looks at a frame that this CPU alone holds.
fn inspect(step: Step, paddr: u64) -> Done {
    match step.op {
        Op::Clean => expect(paddr, 0, payload(paddr + PAGE_SIZE - 8).swap(u64::MAX, Relaxed)),
        _ => expect(paddr, step.value, slot(paddr).get_flags().into()),
    }
}

/// Changes the flags or the guard of a frame, as other parts of a kernel do.
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

fn expect(paddr: u64, expected: u64, got: u64) -> Done {
    if got == expected {
        Ok(got)
    } else {
        Err(Ended::Broken(Broken { paddr, expected, got }))
    }
}
