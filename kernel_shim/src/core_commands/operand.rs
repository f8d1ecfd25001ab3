//! The operands of the commands.

use crate::memory::zone::ZoneType;
use shim_parts::args::Args;
use shim_parts::command::{refused, Code, CommandError};

/// The words for a kind of block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Unmovable,
    Movable,
}

impl Kind {
    pub fn parse(args: &mut Args<'_>) -> Result<Self, CommandError> {
        match args.word("kind")? {
            "unmovable" => Ok(Self::Unmovable),
            "movable" => Ok(Self::Movable),
            word => Err(refused(Code::Usage, format_args!("expected unmovable or movable, got {word}"))),
        }
    }
}

/// A zone, or `None` for any.
pub fn zone(args: &mut Args<'_>) -> Result<Option<ZoneType>, CommandError> {
    match args.word("zone")? {
        "any" => Ok(None),
        "dma" => Ok(Some(ZoneType::DMA)),
        "normal" => Ok(Some(ZoneType::Normal)),
        "highmem" => Ok(Some(ZoneType::HighMem)),
        word => Err(refused(Code::Usage, format_args!("expected any, dma, normal or highmem, got {word}"))),
    }
}
