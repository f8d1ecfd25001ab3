//! The kernel shim: the smallest kernel in which a frame module can be driven from a console.
#![no_std]
#![no_main]

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
mod heap;
// For rustfmt, which formats what is declared here. The compiler gets the same text from `memory.rs`, below.
#[cfg(any())]
mod memory;
mod memory_map;
mod report;
mod selftest;
mod smp;
mod sync;
mod witness;

use boot::start_info::StartInfo;
use shim_parts::command_line::{parse_cpus, Stage};

// `mod memory` again, with the frame module in it, compiled in place from the file that the build was given.
include!(concat!(env!("OUT_DIR"), "/memory.rs"));

/// Called by `boot.s` in the higher half, on the boot stack, interrupts off, with the address that the loader passed.
///
/// The order matters: each step reports its failure through the steps before it.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(start_info_paddr: u64) -> ! {
    console::uart::init();
    arch::descriptors::init();
    arch::exceptions::init(report::exception);
    serial::init();
    let start_info = StartInfo::read(start_info_paddr);
    cmdline::init(start_info.command_line);
    let mut map = memory_map::read(&start_info);
    arch::paging::init(&mut map);
    arch::secondary::reserve(&mut map, parse_cpus(cmdline::get("cpus")));
    memory_map::publish(map);
    arch::interrupts::init();
    memory::start::init(Stage::parse(cmdline::get("init")));
    arch::secondary::start(smp::serve, smp::ready);
    console::banner::print();
    report::set_recovers(cmdline::get("onpanic") == Some("recover"));
    console::dispatch::serve(commands::TABLES)
}
