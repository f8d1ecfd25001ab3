//! The shape of a command.
//!
//! A command is one row of a table. A module with commands has `pub const COMMANDS: &[Command]`, and
//! `src/frame_commands/mod.rs`, or another adapter, lists the tables. Nothing else is needed to add one:
//!
//! ```text
//! pub const COMMANDS: &[Command] = &[Command::new("slot.flags", "<paddr>", "show the flags", |args, reply| {
//!     let paddr = args.only(|args| args.u64("paddr"))?; // decimal or 0x…; refuses bad words, and more: `err usage`
//!     reply.field("v", slot(paddr)?.flags());      // ` v=…` of the reply line
//!     reply.data(format_args!("{paddr:#x} …"));    // a line `: …` before the reply line
//!     Ok(())                                       // or Err(failed("OutOfMemory")), Err(refused(Code::Range, …))
//! })];
//! ```
//!
//! A command of several operands takes one after the other, then calls `args.end()`, before anything is changed. For one whose
//! usage is empty the console does so.
//!
//! Commands run with interrupts disabled. A panic in a command ends the guest. After `onpanic recover` it abandons the
//! command instead, without running destructors (see `arch::recovery` of the kernel): a lock that the command held
//! stays locked, except the locks of the allocators (see `memory::start`).

pub use crate::args::Args;
pub use crate::refusal::{failed, refused, Code, CommandError, CommandResult, Refusal};
pub use crate::reply::Reply;

pub struct Command {
    pub name: &'static str,
    /// Arguments in the notation `<required> [optional] a|b`. Empty for none.
    pub usage: &'static str,
    pub help: &'static str,
    pub run: Run,
}

type Run = fn(&mut Args<'_>, &mut Reply) -> CommandResult;

impl Command {
    pub const fn new(name: &'static str, usage: &'static str, help: &'static str, run: Run) -> Self {
        Self { name, usage, help, run }
    }
}
