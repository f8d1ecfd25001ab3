//! The steps of a program for one CPU, as the console names them.

use crate::args::parse;
use crate::refusal::{refused, Code, CommandError};

/// The number of frames that steps can name.
pub const MAX_FRAMES: usize = 16;

macro_rules! operations {
    ($($variant:ident $name:literal $help:literal,)*) => {
        /// The operations. A step holds the number of one.
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
    AllocTable "alloc.table" "allocate for a page table, zeroed",
    AllocCustom "alloc.custom" "allocate with these flags, not zeroed",
    Hook "hook" "register hooks for the frame allocated last",
    Clean "clean" "expect the last word of the frame allocated last to be zero, then make it ones",
    Flagged "flagged" "expect the frame allocated last to have these flags alone",
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

/// A step as a request names it: `op[@frame][=value][~delay]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub op: Op,
    /// Index into the frames that the program knows.
    pub frame: u64,
    pub value: u64,
    pub delay: u64,
}

impl Step {
    pub const NOTHING: Self = Self { op: Op::Nothing, frame: 0, value: 0, delay: 0 };

    pub fn parse(word: &str) -> Result<Self, CommandError> {
        let (word, delay) = word.split_once('~').unwrap_or((word, "0"));
        let (word, value) = word.split_once('=').unwrap_or((word, "0"));
        let (name, frame) = word.split_once('@').unwrap_or((word, "0"));
        let op = Op::ALL.iter().copied().find(|op| op.name() == name);
        let no_such = || refused(Code::Usage, format_args!("{name}: no such operation, see smp.ops"));
        Ok(Self {
            op: op.ok_or_else(no_such)?,
            frame: parse("frame", frame, MAX_FRAMES as u64 - 1)?,
            value: parse("value", value, u64::MAX)?,
            delay: parse("delay", delay, u64::from(u32::MAX))?,
        })
    }
}
