//! Commands for frame metadata and for the allocators around it.

mod alloc;
mod allocator_trait;
mod array;
mod buddy;
mod buddy_report;
mod constants;
mod dump;
mod frame;
mod inject;
mod operand;
mod payload;
mod program;
mod slot;
mod slot_bytes;
mod smp;
mod vtable;

use crate::commands::{crash, selftest, system};
use crate::console::{batch, table};
use crate::core_commands::{frames, operations, page_tables, work};
use crate::memory::builtin_core::BuiltinCore;

/// In the order that `help` shows.
pub const TABLES: table::Tables = &[
    system::COMMANDS,
    batch::COMMANDS,
    program::COMMANDS,
    constants::COMMANDS,
    array::COMMANDS,
    slot::COMMANDS,
    slot_bytes::COMMANDS,
    dump::COMMANDS,
    alloc::COMMANDS,
    allocator_trait::COMMANDS,
    frame::COMMANDS,
    payload::COMMANDS,
    vtable::COMMANDS,
    buddy::COMMANDS,
    buddy_report::COMMANDS,
    inject::COMMANDS,
    smp::COMMANDS,
    &operations::commands::<BuiltinCore>(),
    frames::COMMANDS,
    page_tables::COMMANDS,
    &work::commands::<BuiltinCore>(),
    selftest::COMMANDS,
    crash::COMMANDS,
];
