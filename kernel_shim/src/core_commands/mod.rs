//! Commands for a memory core. They do not know which one it is.

pub mod frames;
mod operations;
pub mod page_tables;
pub mod storm;
pub mod tables;
mod work;

use crate::memory_core::MemoryCore;
use core::marker::PhantomData;
use shim_parts::command::Command;

/// The commands for the core `C`.
pub struct Commands<C>(PhantomData<C>);

impl<C: MemoryCore> Commands<C> {
    pub const OPERATIONS: &'static [Command] = &operations::commands::<C>();
    pub const WORK: &'static [Command] = &work::commands::<C>();
}
