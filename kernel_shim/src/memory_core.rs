//! A memory core as the console's commands drive it: what they ask for, not how it is done.
//!
//! The built-in allocators with the frame module implement it, and the core of a kernel tree.

use shim_parts::command::{failed, refused, Args, Code, CommandError};
use shim_parts::zone::{Migratetype, Zone};
use x86_64::PhysAddr;

/// A core that lies in statics: there is one in a kernel.
pub trait MemoryCore {
    /// By name, what this version knows of what the host may ask for.
    const OFFERS: &'static [(&'static str, bool)];

    /// Starts it on the map that the host wrote. Memory from `hhdm_end` on cannot be reached meanwhile.
    fn start(hhdm_end: u64);
    /// The address of a block.
    fn allocate(wanted: &Wanted) -> Result<u64, CoreError>;
    /// `None` before the start.
    fn totals() -> Option<Totals>;
    /// Where the compiler put what the host reads.
    fn layout() -> Layout;
}

/// The operands for a block, for commands' usage.
pub const WANTED: &str = "<order> unmovable|movable any|dma|normal|highmem";
pub const WANTED_AND_MOST: &str = "<order> unmovable|movable any|dma|normal|highmem <most>";

/// A block that is asked for.
pub struct Wanted {
    pub order: u8,
    pub kind: Migratetype,
    /// `None` for any.
    pub zone: Option<Zone>,
}

/// In pages.
pub struct Totals {
    pub managed: u64,
    /// Callers have them.
    pub allocated: u64,
}

/// A structure that the host knows from debug information: a second witness.
pub struct Layout {
    pub of: &'static str,
    pub bytes: usize,
    pub offsets: [(&'static str, usize); 2],
}

/// Why a core does not do it.
#[derive(Clone, Copy)]
pub enum CoreError {
    OutOfMemory,
    InvalidOrder,
    InvalidAddress,
    Other,
    /// It has not been started, or its start left nothing to ask.
    NotStarted,
    /// This version knows no such request.
    Unknown,
}

impl CoreError {
    /// That of an error of the core, by the name of its variant, since variants differ between versions.
    pub fn named(name: &str) -> Self {
        match name {
            "OutOfMemory" => Self::OutOfMemory,
            "InvalidOrder" => Self::InvalidOrder,
            "InvalidAddress" => Self::InvalidAddress,
            _ => Self::Other,
        }
    }
}

impl From<CoreError> for CommandError {
    fn from(error: CoreError) -> Self {
        match error {
            CoreError::OutOfMemory => failed("OutOfMemory"),
            CoreError::InvalidOrder => failed("InvalidOrder"),
            CoreError::InvalidAddress => failed("InvalidAddress"),
            CoreError::Other => failed("Other"),
            CoreError::NotStarted => refused(Code::State, format_args!("the core is not started")),
            CoreError::Unknown => refused(Code::State, format_args!("this version of the core does not know it")),
        }
    }
}

impl Wanted {
    pub fn parse(args: &mut Args<'_>) -> Result<Self, CommandError> {
        const KINDS: [(&str, Migratetype); 2] =
            [("unmovable", Migratetype::Unmovable), ("movable", Migratetype::Movable)];
        const ZONES: [(&str, Option<Zone>); 4] =
            [("any", None), ("dma", Some(Zone::Dma)), ("normal", Some(Zone::Normal)), ("highmem", Some(Zone::HighMem))];
        Ok(Self {
            order: args.u8("order")?,
            kind: args.choice("unmovable|movable", &KINDS)?,
            zone: args.choice("any|dma|normal|highmem", &ZONES)?,
        })
    }
}

/// An address of at most 52 bits, wherever it leads.
pub fn address(args: &mut Args<'_>) -> Result<PhysAddr, CommandError> {
    named_address(args, "paddr")
}

/// The same operand by another name.
pub fn named_address(args: &mut Args<'_>, name: &str) -> Result<PhysAddr, CommandError> {
    let paddr = args.u64(name)?;
    PhysAddr::try_new(paddr)
        .map_err(|_| refused(Code::Range, format_args!("{paddr:#x}: expected an address of at most 52 bits")))
}
