//! A memory core as the console's commands drive it: what they ask for, not how it is done.
//!
//! The built-in allocators with the frame module implement it, and the core of a kernel tree.

use shim_parts::args::Args;
use shim_parts::command::{failed, refused, Code, CommandError};
use shim_parts::zone::{Migratetype, Zone};

/// A core that lies in statics: there is one in a kernel.
pub trait MemoryCore {
    /// By name, what this version knows of what the host may ask for.
    const OFFERS: &'static [(&'static str, bool)];

    /// Starts it on the map that the host wrote. Memory from `hhdm_end` on cannot be reached meanwhile.
    fn start(hhdm_end: u64);
    /// The address of a block.
    fn allocate(wanted: &Wanted) -> Result<u64, CoreError>;
    fn free(paddr: u64, order: u8);
    /// Poisons a frame: its guard, as the frame module does it.
    fn poison(paddr: u64) -> Result<(), CoreError>;
    /// `None` before the start.
    fn totals() -> Option<Totals>;
    /// Where the compiler put what the host reads.
    fn layout() -> Layout;

    /// What the frame module writes into slots.
    fn words() -> Result<SlotWords, CoreError>;
    /// A frame through the frame module's builder.
    fn allocate_frame(wanted: &WantedFrame) -> Result<u64, CoreError>;
    /// Drops a reference to a frame. Returns the count before.
    fn drop_reference(paddr: u64) -> Result<u32, CoreError>;
}

/// A block that is asked for.
pub struct Wanted {
    pub order: u8,
    pub kind: Migratetype,
    /// `None` for any.
    pub zone: Option<Zone>,
}

/// A frame that is asked for through a builder: `zeroed()` with the first value, `purpose()`, `zeroed()` with the last.
pub struct WantedFrame {
    pub zeroed_before: Option<bool>,
    pub purpose: Purpose,
    pub zeroed_after: Option<bool>,
}

#[derive(Clone, Copy)]
pub enum Purpose {
    PageTable,
    Kernel,
    User,
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

/// The count of a frame that nobody has, and flags. 0 for a flag that this version lacks.
pub struct SlotWords {
    pub unused: u32,
    pub free: u32,
    pub allocated: u32,
    pub kernel: u32,
    pub user: u32,
    pub movable: u32,
}

/// Why a core does not do it.
#[derive(Clone, Copy)]
pub enum CoreError {
    OutOfMemory,
    InvalidOrder,
    InvalidAddress,
    Other,
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
            CoreError::Unknown => refused(Code::State, format_args!("this version of the core does not know it")),
        }
    }
}

impl Wanted {
    pub fn parse(args: &mut Args<'_>) -> Result<Self, CommandError> {
        Ok(Self { order: args.u8("order")?, kind: kind(args)?, zone: zone(args)? })
    }
}

fn kind(args: &mut Args<'_>) -> Result<Migratetype, CommandError> {
    let word = args.word("kind")?;
    let found = Migratetype::ALL.into_iter().find(|kind| kind.name() == word);
    found.ok_or_else(|| refused(Code::Usage, format_args!("expected unmovable or movable, got {word}")))
}

fn zone(args: &mut Args<'_>) -> Result<Option<Zone>, CommandError> {
    match args.word("zone")? {
        "any" => Ok(None),
        "dma" => Ok(Some(Zone::Dma)),
        "normal" => Ok(Some(Zone::Normal)),
        "highmem" => Ok(Some(Zone::HighMem)),
        word => Err(refused(Code::Usage, format_args!("expected any, dma, normal or highmem, got {word}"))),
    }
}

/// An address of at most 52 bits, wherever it leads.
pub fn address(args: &mut Args<'_>) -> Result<u64, CommandError> {
    match args.u64("paddr")? {
        paddr if paddr >> 52 == 0 => Ok(paddr),
        paddr => Err(refused(Code::Range, format_args!("{paddr:#x}: expected an address of at most 52 bits"))),
    }
}
