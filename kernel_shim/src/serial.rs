//! Printing for a frame module: `serial_print!`, `serial_println!`, the crate `log`. Each call is one log line.

use crate::console::output;
use core::fmt;
use log::{LevelFilter, Log, Metadata, Record};
use shim_parts::text::Text;

/// Longer lines are cut.
const LINE: usize = 200;

#[macro_export]
macro_rules! serial_println {
    ($($arg:tt)*) => { $crate::serial::print_line(format_args!($($arg)*)) };
}

/// In a kernel it leaves the line open. This console has whole lines only.
#[macro_export]
macro_rules! serial_print {
    ($($arg:tt)*) => { $crate::serial::print_line(format_args!($($arg)*)) };
}

/// Prints one line, from any CPU.
pub fn print_line(text: fmt::Arguments<'_>) {
    let line = Text::<LINE>::from_args(text);
    let cut = if line.overflowed() { " ..." } else { "" };
    output::log_at_once(format_args!("{}{cut}", line.as_str().trim_end_matches('\n')));
}

/// Takes what is logged through the crate `log`, at every level.
pub fn init() {
    // It fails when there is a logger already. This is the only call.
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
