//! Commands about the guest itself, whatever module it is built around.

pub mod crash;
pub mod selftest;
pub mod system;
