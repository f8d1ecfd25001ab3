//! The console on COM1: requests in, replies out.

#[path = "../../parts/args.rs"]
pub mod args;
pub mod banner;
pub mod batch;
#[path = "../../parts/command.rs"]
pub mod command;
pub mod dispatch;
pub mod output;
pub mod reader;
#[path = "../../parts/reply.rs"]
pub mod reply;
#[path = "../../parts/text.rs"]
pub mod text;
pub mod uart;
