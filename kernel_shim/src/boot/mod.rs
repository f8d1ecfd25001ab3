//! The code that runs before the first line of Rust, with the structure that the loader leaves.

pub mod entry;
#[cfg(kernel_tree)]
pub mod limine;
#[cfg(any(kernel_tree, not(other_adapter)))]
pub mod region;
pub mod start_info;
