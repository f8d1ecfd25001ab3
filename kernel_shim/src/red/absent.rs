//! The hooks of a kernel that behaves.

use crate::boot::start_info::MemoryMapEntry;
use crate::cmdline;

pub const fn is(_name: &str) -> bool {
    false
}

/// The first of the hooks, so that a kernel which cannot misbehave never starts as one that was asked to.
pub fn memory_map(entries: &[MemoryMapEntry]) -> &[MemoryMapEntry] {
    if let Some(name) = cmdline::get("red") {
        panic!("command line: red={name}: this kernel was built without the feature `red`");
    }
    entries
}

pub fn before_banner() {}

pub fn after_banner() {}

pub fn before_answer() {}

pub fn before_exit() {}

/// Whether the buddy lets several CPUs in at once.
pub const fn unlocks_buddy() -> bool {
    false
}

pub fn sequence(sequence: u64) -> u64 {
    sequence
}

pub fn replies() -> usize {
    1
}

pub fn assertions(fired: bool) -> bool {
    fired
}

pub fn nonce(nonce: &str) -> &str {
    nonce
}

pub fn build_id(id: &[u8]) -> &[u8] {
    id
}

/// Checks that the KTAP plan claims, checks that are run.
pub fn ktap_plan(checks: usize) -> (usize, usize) {
    (checks, checks)
}
