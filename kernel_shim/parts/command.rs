//! The shape of a command.
//!
//! A command is one row of a table. A module with commands has `pub const COMMANDS: &[Command]`, and
//! `commands/mod.rs` lists the tables; nothing else is needed to plug one in:
//!
//! ```text
//! pub const COMMANDS: &[Command] = &[Command {
//!     name: "slot.flags",
//!     usage: "<paddr>",
//!     help: "the flags of a slot",
//!     run: |args, reply| {
//!         let paddr = args.u64("paddr")?;      // decimal or 0x…; a bad word is refused: `err usage`
//!         args.end()?;                         // no words left, before anything is changed
//!         reply.field("v", slot(paddr)?.flags());            // ` v=…` of the reply line
//!         reply.data(format_args!("{paddr:#x} …"));          // a line `: …` before the reply line
//!         Ok(())                               // or Err(failed("OutOfMemory")), Err(refused(Code::Range, format_args!(…)))
//!     },
//! }];
//! ```
//!
//! Commands run with interrupts disabled. A panic inside one either ends the guest or, after `onpanic recover`,
//! abandons the command without running destructors (see `arch::recovery`): a lock that it held stays locked, but for
//! those of the allocators (see `memory::after_panic`).

use super::args::Args;
use super::reply::Reply;
use super::text::Text;
use core::fmt;

pub struct Command {
    pub name: &'static str,
    /// Arguments in the notation `<required> [optional] a|b`; empty for none.
    pub usage: &'static str,
    pub help: &'static str,
    pub run: fn(&mut Args<'_>, &mut Reply) -> CommandResult,
}

pub type CommandResult = Result<(), CommandError>;

/// Why a command has no `ok`.
pub enum CommandError {
    /// The subject returned `Err`: its variant's name. Fields of the reply are kept.
    Failed(&'static str),
    /// The request was refused before the subject saw it.
    Refused(Refusal),
}

pub struct Refusal {
    pub code: Code,
    pub text: Text<200>,
}

/// Why a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// No such command.
    Unknown,
    /// Arguments missing, left over or malformed.
    Usage,
    /// An argument that no slot, frame or buffer answers to.
    Range,
    /// The request or its reply is too long.
    TooLong,
    /// Not possible now, for example before initialization.
    State,
    /// What a slot holds leads nowhere: no mistake of the request, but of whoever wrote the slot.
    Slot,
}

impl Code {
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Usage => "usage",
            Self::Range => "range",
            Self::TooLong => "toolong",
            Self::State => "state",
            Self::Slot => "slot",
        }
    }
}

/// The subject said `Err(variant)`.
pub fn failed(variant: &'static str) -> CommandError {
    CommandError::Failed(variant)
}

/// The shim refuses, with a text for a person.
pub fn refused(code: Code, text: fmt::Arguments<'_>) -> CommandError {
    CommandError::Refused(Refusal { code, text: Text::from_args(text) })
}
