//! The commands that print slots: run-length coded, counted, with a checksum, or as checksums alone.

use crate::console::args::Args;
use crate::console::command::{refused, Code, Command, CommandError, CommandResult};
use crate::console::reply::{HexBytes, Reply};
use crate::memory::slot_table::{self, SLOT_BYTES};
use crate::red;
use crc32fast::Hasher;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "dump",
        usage: "<first_pfn> <count> [most]",
        help: "the bytes of slots: runs of equal ones, then crc32 of all; ends after so many runs",
        run: dump,
    },
    Command {
        name: "dump.sums",
        usage: "<first_pfn> <count> <chunk>",
        help: "crc32 of each chunk of so many slots, then crc32 of these",
        run: sums,
    },
];

type Bytes = [u8; SLOT_BYTES];

fn dump(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (first, count) = (args.u64("first_pfn")?, args.u64("count")?);
    let most = args.u64_or("most", u64::MAX)?;
    args.end()?;
    let end = end_of(first, count)?;
    reply.data(format_args!("dump first={first} count={count} slot={SLOT_BYTES}"));
    let mut crc = Hasher::new();
    let (mut runs, mut pfn) = (0_u64, first);
    while pfn < end && runs < most {
        let slot = read(pfn, first);
        let run = if is_told_wrong(pfn, first) { 1 } else { slot_table::run_length(pfn, end) };
        checksum_run(&mut crc, &slot, run);
        reply.data(format_args!("{run} {}", HexBytes(&corrupted(slot, runs))));
        runs += 1;
        pfn += run;
    }
    reply.data(format_args!("end runs={runs} crc={:#010x}", crc.finalize()));
    reply.field("slots", pfn - first);
    reply.field("runs", runs);
    Ok(())
}

/// What the host compares with RAM where the slots are too different from each other to be printed one by one.
fn sums(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (first, count, chunk) = (args.u64("first_pfn")?, args.u64("count")?, args.u64("chunk")?);
    args.end()?;
    let end = end_of(first, count)?;
    if chunk == 0 {
        return Err(refused(Code::Range, format_args!("chunk: expected at least one slot")));
    }
    reply.data(format_args!("sums first={first} count={count} chunk={chunk} slot={SLOT_BYTES}"));
    let mut all = Hasher::new();
    let (mut chunks, mut pfn) = (0_u64, first);
    while pfn < end {
        let length = chunk.min(end - pfn);
        let mut crc = Hasher::new();
        slot_table::visit(pfn, length, |bytes| crc.update(bytes));
        let sum = crc.finalize() ^ u32::from(is_told_wrong(pfn, first));
        all.update(&sum.to_le_bytes());
        reply.data(format_args!("{sum:08x}"));
        chunks += 1;
        pfn += length;
    }
    reply.data(format_args!("end chunks={chunks} crc={:#010x}", all.finalize()));
    reply.field("chunks", chunks);
    Ok(())
}

/// The end of a part of the table.
fn end_of(first: u64, count: u64) -> Result<u64, CommandError> {
    let frames = slot_table::frames();
    first.checked_add(count).filter(|&end| end <= frames).ok_or_else(|| {
        refused(Code::Range, format_args!("{count} from {first}: the table has {frames} slots"))
    })
}

/// Adds `run` equal slots to a checksum, in as many steps as `run` has bits.
fn checksum_run(crc: &mut Hasher, slot: &Bytes, run: u64) {
    let mut part = Hasher::new();
    part.update(slot);
    let mut left = run;
    loop {
        if left & 1 == 1 {
            crc.combine(&part);
        }
        left >>= 1;
        if left == 0 {
            return;
        }
        part.combine(&part.clone());
    }
}

/// A slot as the dump shows it.
fn read(pfn: u64, first: u64) -> Bytes {
    let mut slot = slot_table::peek(pfn);
    if is_told_wrong(pfn, first) {
        slot[SLOT_BYTES / 2] ^= 1;
    }
    slot
}

/// The red kernel `lie-dump` shows the first slot with a changed bit; all else about its dump is right.
fn is_told_wrong(pfn: u64, first: u64) -> bool {
    pfn == first && red::is("lie-dump")
}

/// The red kernel `corrupt-dump` loses a bit of the first run on the way to the console.
fn corrupted(mut slot: Bytes, run: u64) -> Bytes {
    if run == 0 && red::is("corrupt-dump") {
        slot[SLOT_BYTES / 2] ^= 1;
    }
    slot
}
