//! The code that runs before the first line of Rust, with the structure that the loader leaves.

pub mod entry;
#[cfg(kernel_tree)]
pub mod limine;
#[cfg(kernel_tree)]
pub mod region;
pub mod start_info;
