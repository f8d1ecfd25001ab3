//! The kernel shim: the smallest kernel in which a frame module can be driven from a console.
#![no_std]
#![no_main]

// What kernels have, and a frame module may use.
extern crate alloc;

// First: its macros are in scope of what follows, as they are in a kernel.
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
#[path = "../parts/memory_map.rs"]
mod memory_map;
mod red;
mod report;
mod selftest;
mod smp;
mod sync;
mod witness;

use boot::start_info::StartInfo;

// `mod memory` again, with the frame module in it, compiled in place from the file that the build was given.
include!(concat!(env!("OUT_DIR"), "/memory.rs"));

/// Called by `boot.s` in the higher half, on the boot stack, interrupts off, with the address that the loader passed.
///
/// The order is part of the design: each step reports its failure through the ones before it.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(start_info_paddr: u64) -> ! {
    console::uart::init();
    arch::descriptors::init();
    arch::exceptions::init();
    serial::init();
    let start_info = StartInfo::read(start_info_paddr);
    cmdline::init(&start_info);
    let mut map = memory_map::read(&start_info);
    arch::paging::init(&mut map);
    arch::secondary::reserve(&mut map);
    memory_map::publish(map);
    arch::interrupts::init();
    memory::init(memory::Stage::from_cmdline());
    arch::secondary::start();
    red::before_banner();
    console::banner::print();
    red::after_banner();
    report::set_recovers(cmdline::get("onpanic") == Some("recover"));
    console::dispatch::serve()
}
