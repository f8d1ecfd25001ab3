//! The tests of the library, which run on the host.

mod boot_frames;
mod buddy;
mod checksum;
mod command_line;
mod console;
mod lent_caches;
mod memory_map;
mod ranges;
mod slots;
mod steps;
mod text;
mod usable;
