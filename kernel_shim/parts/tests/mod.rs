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

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::string::String;

/// Requires `call` to panic with a message that has these words.
fn expect_panic(words: &str, call: impl FnOnce()) {
    let payload = catch_unwind(AssertUnwindSafe(call)).expect_err(words);
    let fixed = payload.downcast_ref::<&str>().copied();
    let message = payload.downcast_ref::<String>().map(String::as_str).or(fixed).unwrap_or("");
    assert!(message.contains(words), "expected {words:?}, got {message:?}");
}
