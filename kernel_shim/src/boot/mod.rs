//! What happens before the first line of Rust, with the structure that the loader leaves behind.

pub mod entry;
pub mod start_info;
