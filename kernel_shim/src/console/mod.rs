//! The console on COM1: requests in, replies out.

pub mod args;
pub mod banner;
pub mod batch;
pub mod command;
pub mod dispatch;
pub mod output;
pub mod reader;
pub mod reply;
pub mod text;
pub mod uart;
