//! Kernels that must never be judged a pass; without the cargo feature `red` all of it is nothing.

/// Whether the command line asks for the red kernel `name`.
pub fn is(_name: &str) -> bool {
    false
}
pub fn before_memory_map() {}
pub fn before_banner() {}
pub fn after_banner() {}
pub fn before_request() {}
pub fn in_data_line() {}
pub fn before_exit() {}
pub fn sequence(sequence: u64) -> u64 {
    sequence
}
pub fn reply_count() -> usize {
    1
}
pub fn nonce(nonce: &str) -> &str {
    nonce
}
pub fn build_id(id: &[u8]) -> &[u8] {
    id
}
