//! Physical memory: the subject with the allocators that it is compiled against.

/// How far memory is set up before the prompt (`init=` on the command line).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    None,
    Array,
    Full,
}

impl Stage {
    pub fn from_cmdline() -> Self {
        match crate::cmdline::get("init") {
            None | Some("full") => Self::Full,
            Some("array") => Self::Array,
            Some("none") => Self::None,
            Some(other) => panic!("command line: init: expected none, array or full, got {other}"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Array => "array",
            Self::Full => "full",
        }
    }
}

pub fn init(_stage: Stage) {}
