//! Commands for `PhysFrame`, alone or in ranges.

use super::operand;
use crate::memory::subject::PhysFrame;
use crate::smp::call::subject;
use shim_parts::command::{failed, Args, Command, CommandError, CommandResult, Reply};
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
    let address = args.only(operand::paddr)?;
    reply.hex("paddr", subject(|| PhysFrame::containing_address(address)).start_address);
    Ok(())
}

fn from_start(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let address = args.only(operand::paddr)?;
    let frame = subject(|| PhysFrame::from_start_address(address)).map_err(|()| failed("Err"))?;
    reply.hex("paddr", frame.start_address);
    Ok(())
}

fn range(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (start, end) = (frame(args)?, frame(args)?);
    let limit = args.u64_or("limit", 1_000_000)?;
    args.end()?;
    subject(|| walk(start, end, limit, reply));
    Ok(())
}

fn walk(start: PhysFrame, end: PhysFrame, limit: u64, reply: &mut Reply) {
    let mut frames = PhysFrame::range_inclusive(start, end);
    let hint = frames.size_hint();
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
    let ends = frames.next().is_none() && frames.next().is_none();
    reply.flag("then_none", ends);
    // An iterator may bring other ways to walk, which must lead to the same frames.
    let range = || PhysFrame::range_inclusive(start, end);
    let nth =
        |index: u64| (index < count).then(|| PhysFrame { start_address: start.start_address + index * PAGE_SIZE });
    let jumps = [0, count / 2, count.saturating_sub(1)].into_iter().all(|n| range().nth(n as usize) == nth(n));
    let bounds = hint.1.is_none_or(|most| most as u64 >= count) && (!ends || hint.0 as u64 <= count);
    let totals = !ends || range().count() as u64 == count && range().last() == nth(count.wrapping_sub(1));
    reply.flag("alike", jumps && bounds && totals);
}

fn compare(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (a, b) = (frame(args)?, frame(args)?);
    args.end()?;
    let (order, partial, equal) = subject(|| (a.cmp(&b), a.partial_cmp(&b), a == b));
    let operators = subject(|| [a < b, a <= b, a > b, a >= b, a != b, a.max(b) == b, a.min(b) == a]);
    let (less, more) = (order.is_lt(), order.is_gt());
    let alike = operators == [less, !more, more, !less, less || more, !more, !more];
    reply.field("ord", order as i8);
    reply.flag("eq", equal);
    reply.flag("alike", alike && partial == Some(order));
    Ok(())
}
