//! The kernel shim: the smallest kernel in which a frame module can be driven from a console.
#![no_std]
#![no_main]
// An adapter need not use all that the shim offers.
#![cfg_attr(other_adapter, allow(dead_code))]

// Kernels have it, so a frame module may use it.
extern crate alloc;

// First, because its macros are in scope of what follows, as they are in a kernel.
#[macro_use]
mod serial;

mod arch;
mod boot;
mod cmdline;
mod codegen;
mod commands;
mod console;
mod cpus;
mod heap;
mod memory_map;
mod report;
mod selftest;
mod sync;
mod witness;

// What only frame metadata has. `build.rs` leaves it out where it is given another adapter.
#[cfg(not(other_adapter))]
mod adapter;
#[cfg(not(other_adapter))]
mod frame_commands;
#[cfg(not(other_adapter))]
mod smp;
// What drives a memory core: that of a kernel tree, or the built-in allocators.
#[cfg(any(kernel_tree, not(other_adapter)))]
mod core_commands;
#[cfg(any(kernel_tree, not(other_adapter)))]
mod frame_module;
#[cfg(any(kernel_tree, not(other_adapter)))]
mod memory_core;
// For rustfmt, which formats what is declared here. The compiler gets the same text from `subject.rs`, below.
#[cfg(any())]
mod memory;
#[cfg(any())]
mod tree;

// What the memory core of a kernel tree asks its kernel for.
#[cfg(feature = "ownership")]
mod capability;
#[cfg(kernel_tree)]
mod silo;

use boot::start_info::StartInfo;
use shim_parts::command_line::{parse_cpus, parse_on_panic, Stage};

// The module under test, compiled in place from the file that the build was given: in `mod memory`, or beside the adapter
// that the build was given.
include!(concat!(env!("OUT_DIR"), "/subject.rs"));

/// Called by `boot.s` in the higher half, on the boot stack, interrupts off, with the address that the loader passed.
///
/// The order matters: each step reports its failure through the steps before it.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(start_info_paddr: u64) -> ! {
    console::uart::init();
    arch::descriptors::init();
    arch::exceptions::init(report::exception);
    serial::init();
    // SAFETY: no page is taken before `paging::init`, and both readers of it have copied what they need by then.
    let start_info = unsafe { StartInfo::read(start_info_paddr) };
    cmdline::init(start_info.command_line);
    report::set_recovers(parse_on_panic(cmdline::get("onpanic")));
    let mut map = memory_map::read(&start_info);
    arch::paging::init(&mut map);
    arch::secondary::reserve(&mut map, parse_cpus(cmdline::get("cpus")));
    memory_map::publish(map);
    arch::interrupts::init();
    witness::announce_kernel();
    adapter::start(Stage::parse(cmdline::get("init")));
    console::banner::print();
    console::dispatch::serve(adapter::TABLES, adapter::after_panic_of)
}
