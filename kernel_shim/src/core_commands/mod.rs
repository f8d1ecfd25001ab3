//! Commands for a memory core. They do not know which one it is.

pub mod frames;
pub mod operations;
pub mod page_tables;
pub mod storm;
pub mod tables;
pub mod work;
