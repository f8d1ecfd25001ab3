//! The console on COM1: requests in, replies out.

pub mod banner;
pub mod batch;
pub mod dispatch;
pub mod output;
pub mod reader;
pub mod table;
pub mod uart;
