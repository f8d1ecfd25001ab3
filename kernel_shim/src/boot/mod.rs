//! The code that runs before the first line of Rust, with the structure that the loader leaves.

pub mod entry;
pub mod start_info;
