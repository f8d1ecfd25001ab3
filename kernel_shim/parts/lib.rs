//! The parts of the shim that touch no hardware: values in, values out.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;
/// Another value for other sources: cargo alone trusts time stamps, and files that are unpacked keep theirs.
const _: Option<&str> = option_env!("FRAME_HARNESS_PARTS");

pub mod args;
pub mod boot_frames;
pub mod buddy;
pub mod checksum;
pub mod command;
pub mod command_line;
pub mod frame_ranges;
pub mod input;
pub mod memory_map;
mod named;
pub mod output;
pub mod random;
pub mod refusal;
pub mod reply;
pub mod step;
pub mod stops;
pub mod text;
pub mod usable;
pub mod zone;

/// Bytes in a frame. The processor decides this, so the subject's constant of the same name is not used.
pub const PAGE_SIZE: u64 = 4096;

/// The address of the first byte of a frame.
pub const fn pfn_to_paddr(pfn: u64) -> u64 {
    pfn * PAGE_SIZE
}

/// The frame that holds an address.
pub const fn paddr_to_pfn(paddr: u64) -> u64 {
    paddr / PAGE_SIZE
}

/// The number of CPUs that the tables have room for.
pub const MAX_CPUS: usize = 8;
