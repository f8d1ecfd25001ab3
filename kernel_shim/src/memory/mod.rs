// Physical memory: the subject, as `frame`, with the allocators that it is compiled against.
//
// `build.rs` includes this text in the module `memory`, beside the subject.

pub mod boot_alloc;
pub mod buddy;
pub mod buddy_locks;
pub mod builtin_core;
pub mod cpu_lock;
pub mod hooks;
pub mod release;
pub mod scan;
pub mod slot_table;
pub mod start;
pub mod subject;
pub mod subject_slots;
pub mod vtables;

// No version lacks all of it.
#[cfg(older)]
#[allow(dead_code)]
pub mod absent;

// A frame module asks for both by these paths.
pub use crate::arch::paging::phys_to_virt;
pub use shim_parts::zone;
