//! The reply under construction: data lines go out at once, fields are kept for the last line.

use crate::refusal::{Code, CommandError, CommandResult};
use crate::text::{HexBytes, PercentEncoded, Text};
use core::fmt::{self, Write};

/// Room for the fields of one reply line: 1024 bytes as hex digits, or all constants.
pub const MAX_FIELDS: usize = 4096;

/// Codes of ours for isa-debug-exit (QEMU 7.2, hw/misc/debugexit.c). The number in parentheses is QEMU's exit status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ExitCode {
    /// (33)
    Pass = 0x10,
    /// (35)
    Fail = 0x11,
    /// (37) A panic or an exception.
    Panic = 0x12,
}

/// Shows a data line at once.
pub type Show = fn(fmt::Arguments<'_>);

pub struct Reply {
    fields: Text<MAX_FIELDS>,
    exit: Option<ExitCode>,
    show: Show,
}

impl Reply {
    pub const fn new(show: Show) -> Self {
        Self { fields: Text::new(), exit: None, show }
    }

    /// A line `: text` of the running request.
    pub fn data(&mut self, text: fmt::Arguments<'_>) {
        (self.show)(text);
    }

    /// A field ` key=value` of the reply line. The value's text must have no spaces.
    pub fn field(&mut self, key: &str, value: impl fmt::Display) {
        self.field_args(key, format_args!("{value}"));
    }

    /// A field with what a foreign type shows of itself, as one word.
    pub fn debug(&mut self, key: &str, value: &impl fmt::Debug) {
        let text: Text<64> = Text::from_args(format_args!("{value:?}"));
        self.field(key, PercentEncoded(text.as_str()));
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
        self.field(key, HexBytes(bytes));
    }

    fn field_args(&mut self, key: &str, value: fmt::Arguments<'_>) {
        // Overflow is looked at when the reply is written.
        let _ = write!(self.fields, " {key}={value}");
    }

    /// Ends the guest once the reply is out.
    pub fn exit_after(&mut self, code: ExitCode) {
        self.exit = Some(code);
    }

    pub fn exit(&self) -> Option<ExitCode> {
        self.exit
    }

    /// The fields, each with a space before it. `None` when they were too many.
    fn fields(&self) -> Option<&str> {
        (!self.fields.overflowed()).then(|| self.fields.as_str())
    }
}

/// A panic that was survived.
#[derive(Clone)]
pub struct PanicReport {
    pub file: Text<256>,
    pub line: u32,
    pub message: Text<1024>,
}

impl PanicReport {
    pub const fn none() -> Self {
        Self { file: Text::new(), line: 0, message: Text::new() }
    }
}

/// How a command ended.
pub enum Outcome {
    Returned(CommandResult),
    Panicked(PanicReport),
}

impl Outcome {
    /// Whether nothing that follows in the same request is to be run.
    pub fn stops(&self) -> bool {
        matches!(self, Self::Panicked(_) | Self::Returned(Err(CommandError::Refused(_))))
    }
}

/// Displays what follows the sequence number in a reply.
pub struct Answer<'a> {
    pub outcome: &'a Outcome,
    pub reply: &'a Reply,
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.outcome, self.reply.fields()) {
            (Outcome::Panicked(panic), _) => {
                let (file, message) = (panic.file.as_str(), panic.message.as_str());
                let (file, message) = (PercentEncoded(file), PercentEncoded(message));
                // A message that does not end here says so.
                let rest = if panic.message.overflowed() { "%20..." } else { "" };
                write!(f, "panic file={file} line={} msg={message}{rest}", panic.line)
            }
            (Outcome::Returned(Err(CommandError::Refused(refusal))), _) => {
                write!(f, "err {} {}", refusal.code.name(), refusal.text.as_str())
            }
            (_, None) => {
                write!(f, "err {} reply: expected at most {MAX_FIELDS} bytes", Code::TooLong.name())
            }
            (Outcome::Returned(Ok(())), Some(fields)) => write!(f, "ok{fields}"),
            (Outcome::Returned(Err(CommandError::Failed(name))), Some(fields)) => {
                write!(f, "fail {name}{fields}")
            }
        }
    }
}
