//! Commands for a memory core. They do not know which one it is.

pub mod frames;
pub mod operations;
pub mod page_tables;
pub mod storm;
pub mod tables;
pub mod work;

use shim_parts::command::{refused, Code, CommandError};
use spin::{Mutex, MutexGuard};

/// Locks what a command keeps between requests. Refuses where it is locked: a panic leaves it locked for good, and who waited
/// would hang.
pub fn lock_or_refuse<T>(kept: &Mutex<T>) -> Result<MutexGuard<'_, T>, CommandError> {
    kept.try_lock().ok_or_else(|| refused(Code::State, format_args!("locked by a command that runs, or that panicked")))
}
