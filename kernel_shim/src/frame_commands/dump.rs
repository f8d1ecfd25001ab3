//! The commands that print slots: run-length coded, counted, with a checksum, or as checksums alone.

use crate::memory::slot_table::{self, SLOT_BYTES};
use crc32fast::Hasher;
use shim_parts::checksum;
use shim_parts::command::{refused, Args, Code, Command, CommandError, CommandResult, Reply};
use shim_parts::text::HexBytes;

pub const COMMANDS: &[Command] = &[
    Command::new(
        "dump",
        "<first_pfn> <count> [most]",
        "the bytes of slots: runs of equal ones, then crc32 of all; ends after so many runs",
        dump,
    ),
    Command::new(
        "dump.sums",
        "<first_pfn> <count> <piece>",
        "crc32 of each piece of so many slots, then crc32 of these",
        sums,
    ),
];

fn dump(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (first, count) = (args.u64("first_pfn")?, args.u64("count")?);
    let most = args.u64_or("most", u64::MAX)?;
    args.end()?;
    let end = end_of(first, count)?;
    reply.data(format_args!("dump first={first} count={count} slot={SLOT_BYTES}"));
    let mut crc = Hasher::new();
    let (mut runs, mut pfn) = (0_u64, first);
    while pfn < end && runs < most {
        let slot = slot_table::peek(pfn);
        let run = slot_table::run_length(pfn, end);
        checksum::add_run(&mut crc, &slot, run);
        reply.data(format_args!("{run} {}", HexBytes(&slot)));
        runs += 1;
        pfn += run;
    }
    reply.data(format_args!("end runs={runs} crc={:#010x}", crc.finalize()));
    reply.field("slots", pfn - first);
    reply.field("runs", runs);
    Ok(())
}

/// The host compares these sums with RAM where the slots differ too much to be printed one by one.
fn sums(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (first, count, piece) = (args.u64("first_pfn")?, args.u64("count")?, args.u64("piece")?);
    args.end()?;
    let end = end_of(first, count)?;
    if piece == 0 {
        return Err(refused(Code::Range, format_args!("piece: expected at least one slot")));
    }
    reply.data(format_args!("sums first={first} count={count} piece={piece} slot={SLOT_BYTES}"));
    let mut all = Hasher::new();
    let (mut pieces, mut pfn) = (0_u64, first);
    while pfn < end {
        let length = piece.min(end - pfn);
        let mut crc = Hasher::new();
        slot_table::visit(pfn, length, |bytes| crc.update(bytes));
        let sum = crc.finalize();
        all.update(&sum.to_le_bytes());
        reply.data(format_args!("{sum:08x}"));
        pieces += 1;
        pfn += length;
    }
    reply.data(format_args!("end pieces={pieces} crc={:#010x}", all.finalize()));
    reply.field("pieces", pieces);
    Ok(())
}

/// The end of a part of the table.
fn end_of(first: u64, count: u64) -> Result<u64, CommandError> {
    let frames = slot_table::frames();
    first
        .checked_add(count)
        .filter(|&end| end <= frames)
        .ok_or_else(|| refused(Code::Range, format_args!("{count} from {first}: the table has {frames} slots")))
}
