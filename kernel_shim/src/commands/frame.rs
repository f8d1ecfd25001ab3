//! Commands for `PhysFrame` with its ranges.

use super::operand;
use crate::console::args::Args;
use crate::console::command::{failed, Command, CommandError, CommandResult};
use crate::console::reply::Reply;
use crate::memory::subject::PhysFrame;
use core::cmp::Ordering;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "frame.containing",
        usage: "<addr>",
        help: "PhysFrame::containing_address",
        run: containing,
    },
    Command {
        name: "frame.from_start",
        usage: "<addr>",
        help: "PhysFrame::from_start_address",
        run: from_start,
    },
    Command {
        name: "frame.range",
        usage: "<start> <end> [limit]",
        help: "count PhysFrame::range_inclusive, then poll it twice more",
        run: range,
    },
    Command { name: "frame.cmp", usage: "<a> <b>", help: "compare two frames", run: compare },
];

/// The frame an address lies in; built without the subject's functions, which are asked elsewhere.
fn frame(args: &mut Args<'_>) -> Result<PhysFrame, CommandError> {
    Ok(PhysFrame { start_address: operand::paddr(args)?.align_down(4096_u64) })
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
    let (mut count, mut last) = (0, None);
    while count < limit {
        let Some(frame) = frames.next() else { break };
        if count == 0 {
            reply.hex("first", frame.start_address);
        }
        last = Some(frame);
        count += 1;
    }
    if let Some(last) = last {
        reply.hex("last", last.start_address);
    }
    reply.field("count", count);
    // At the limit there may be more; then the answer is no.
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
