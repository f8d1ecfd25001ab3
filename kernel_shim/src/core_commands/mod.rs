//! Commands for a memory core.

#[cfg(all(tree_has = "frame_options", tree_has = "unused"))]
pub mod frames;
mod operand;
pub mod operations;
#[cfg(tree_has = "frame_options")]
pub mod page_tables;
pub mod storm;
#[cfg(tree_has = "frame_options")]
pub mod tables;
pub mod work;
