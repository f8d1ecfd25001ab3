//! Why a command has no `ok`.

use crate::named::named;
use crate::text::Text;
use core::fmt;

pub type CommandResult = Result<(), CommandError>;

/// Why a command has no `ok`.
pub enum CommandError {
    /// The subject returned `Err`: its variant's name. Fields of the reply are kept.
    Failed(&'static str),
    /// The request was refused before the subject saw it.
    Refused(Refusal),
}

pub struct Refusal {
    pub code: Code,
    pub text: Text<200>,
}

named! {
    /// Why a request is refused.
    pub enum Code {
        /// No such command.
        Unknown "unknown",
        /// Arguments missing, left over or malformed.
        Usage "usage",
        /// An argument outside of the slots, frames or buffers that exist.
        Range "range",
        /// The request or its reply is too long.
        TooLong "toolong",
        /// Not possible now, for example before initialization.
        State "state",
        /// The slot holds an address that must not be followed. The request is right, the slot's content is not.
        Slot "slot",
    }
}

/// The subject returned `Err(variant)`.
pub fn failed(variant: &'static str) -> CommandError {
    CommandError::Failed(variant)
}

/// The shim refuses the request, with a text for a person.
pub fn refused(code: Code, text: fmt::Arguments<'_>) -> CommandError {
    CommandError::Refused(Refusal { code, text: Text::from_args(text) })
}
