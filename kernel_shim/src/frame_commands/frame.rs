//! Commands for `PhysFrame`, alone or in ranges.

use super::operand;
use crate::memory::subject::PhysFrame;
use core::cmp::Ordering;
use shim_parts::args::Args;
use shim_parts::command::{failed, Command, CommandError, CommandResult};
use shim_parts::reply::Reply;
use shim_parts::PAGE_SIZE;

pub const COMMANDS: &[Command] = &[
    Command::new("frame.containing", "<addr>", "PhysFrame::containing_address", containing),
    Command::new("frame.from_start", "<addr>", "PhysFrame::from_start_address", from_start),
    Command::new(
        "frame.range",
        "<start> <end> [limit]",
        "count PhysFrame::range_inclusive, then poll it twice more",
        range,
    ),
    Command::new("frame.cmp", "<a> <b>", "compare two frames", compare),
];

/// The frame of an address, built without the subject's functions, which other commands call.
fn frame(args: &mut Args<'_>) -> Result<PhysFrame, CommandError> {
    Ok(PhysFrame { start_address: operand::paddr(args)?.align_down(PAGE_SIZE) })
}

fn containing(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let address = operand::paddr(args)?;
    args.end()?;
    reply.hex("paddr", PhysFrame::containing_address(address).start_address);
    Ok(())
}

fn from_start(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let address = operand::paddr(args)?;
    args.end()?;
    let frame = PhysFrame::from_start_address(address).map_err(|()| failed("Err"))?;
    reply.hex("paddr", frame.start_address);
    Ok(())
}

fn range(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (start, end) = (frame(args)?, frame(args)?);
    let limit = args.u64_or("limit", 1_000_000)?;
    args.end()?;
    let mut frames = PhysFrame::range_inclusive(start, end);
    let (mut count, mut last, mut one_by_one) = (0, None::<PhysFrame>, true);
    while count < limit {
        let Some(frame) = frames.next() else { break };
        if count == 0 {
            reply.hex("first", frame.start_address);
        }
        one_by_one &= last.is_none_or(|before| frame.start_address == before.start_address + PAGE_SIZE);
        last = Some(frame);
        count += 1;
    }
    if let Some(last) = last {
        reply.hex("last", last.start_address);
    }
    reply.field("count", count);
    reply.flag("one_by_one", one_by_one);
    // At the limit there may be more frames. Then the answer is no.
    reply.flag("then_none", frames.next().is_none() && frames.next().is_none());
    Ok(())
}

fn compare(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (a, b) = (frame(args)?, frame(args)?);
    args.end()?;
    let order = match a.cmp(&b) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    };
    reply.field("ord", order);
    reply.flag("eq", a == b);
    Ok(())
}
