//! What a kernel's modules print with: `serial_print!`, `serial_println!`, the crate `log`. Each call is one log line.

use crate::console::output;
use crate::console::text::Text;
use core::fmt;
use log::{LevelFilter, Log, Metadata, Record};

/// Longer lines are cut.
const LINE: usize = 200;

#[macro_export]
macro_rules! serial_println {
    ($($arg:tt)*) => { $crate::serial::print_line(format_args!($($arg)*)) };
}

/// A kernel's leaves the line open; the console has whole lines alone.
#[macro_export]
macro_rules! serial_print {
    ($($arg:tt)*) => { $crate::serial::print_line(format_args!($($arg)*)) };
}

/// Prints one line, whichever CPU it comes from.
pub fn print_line(text: fmt::Arguments<'_>) {
    let line = Text::<LINE>::from_args(text);
    let cut = if line.overflowed() { " ..." } else { "" };
    output::log_at_once(line.as_str().trim_end_matches('\n'), cut);
}

/// Takes what is logged through the crate `log`, at every level.
pub fn init() {
    // Fails when there is a logger already; this is the only call.
    let _ = log::set_logger(&Console);
    log::set_max_level(LevelFilter::Trace);
}

struct Console;

impl Log for Console {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        print_line(format_args!("{} {}: {}", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}
