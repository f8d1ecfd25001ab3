//! Modules of the boot loader, which older memory cores protect by name.
//!
//! Each name that a core asks for stands for one of the ranges that the host protects, in the order of the core's text.

include!(concat!(env!("OUT_DIR"), "/limine.rs"));
