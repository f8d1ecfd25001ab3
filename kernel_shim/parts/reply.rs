//! The reply under construction: data lines go out at once, fields are kept for the last line.

use super::output::{self, kind};
use super::text::Text;
use crate::arch::exit::ExitCode;
use core::fmt::{self, Write};

/// Room for the fields of one reply line (a peek of 1024 bytes as hex, every constant at once).
pub const MAX_FIELDS: usize = 4096;

pub struct Reply {
    fields: Text<MAX_FIELDS>,
    exit: Option<ExitCode>,
}

impl Reply {
    pub const fn new() -> Self {
        Self { fields: Text::new(), exit: None }
    }

    /// A line `: text` of the running request.
    pub fn data(&mut self, text: fmt::Arguments<'_>) {
        output::line(kind::DATA, text);
    }

    /// A field ` key=value` of the reply line; the value's text has no spaces.
    pub fn field(&mut self, key: &str, value: impl fmt::Display) {
        self.field_args(key, format_args!("{value}"));
    }

    /// A field in hexadecimal, `0x…`.
    pub fn hex(&mut self, key: &str, value: impl fmt::LowerHex) {
        self.field_args(key, format_args!("{value:#x}"));
    }

    /// A field that is 0 or 1.
    pub fn flag(&mut self, key: &str, value: bool) {
        self.field(key, u8::from(value));
    }

    /// A field with bytes as hex digits.
    pub fn bytes(&mut self, key: &str, bytes: &[u8]) {
        self.field_args(key, format_args!("{}", HexBytes(bytes)));
    }

    fn field_args(&mut self, key: &str, value: fmt::Arguments<'_>) {
        // `Text` never fails; overflow is looked at when the reply is written.
        let _ = write!(self.fields, " {key}={value}");
    }

    /// Ends the guest once the reply is out.
    pub fn exit_after(&mut self, code: ExitCode) {
        self.exit = Some(code);
    }

    pub fn exit(&self) -> Option<ExitCode> {
        self.exit
    }

    /// The fields, each with a space before it; `None` when they were too many.
    pub fn fields(&self) -> Option<&str> {
        (!self.fields.overflowed()).then(|| self.fields.as_str())
    }
}

/// Displays bytes as hex digits, in address order.
pub struct HexBytes<'a>(pub &'a [u8]);

impl fmt::Display for HexBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
