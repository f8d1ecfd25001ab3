//! Commands that the host writes into RAM. They run as the console's do, and answer in the same words, in RAM.

use crate::console::{batch, output::kind};
use crate::memory::{buddy, phys_to_virt, scan, slot_table};
use crate::report;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, AtomicU8, Ordering::Relaxed};
use core::{fmt, ptr, slice, str};
use shim_parts::args::parse;
use shim_parts::command::{Args, Command, CommandResult};
use shim_parts::output::Writer;
use shim_parts::reply::{Answer, Reply};
use shim_parts::{pfn_to_paddr, PAGE_SIZE};

pub const COMMANDS: &[Command] = &[Command::new("run", "<bytes>", "run commands that the host wrote into RAM", run)];

const GIVEN: usize = 128 << 10;
const SAID: usize = 64 << 10;
const SEEN: usize = 256 << 10;
/// A command finds so much room for its reply, and as much for its looks.
const LEFT: usize = 32 << 10;

/// The host finds it by its symbol, and writes only while this kernel waits for a request.
///
/// `given` has a line for each command: `command|slots|pages`, with the numbers of frames to look at once it has run.
#[repr(C)]
struct Program {
    /// The number of commands that were begun.
    begun: AtomicU32,
    n_said: AtomicU32,
    n_seen: AtomicU32,
    given: [AtomicU8; GIVEN],
    said: [AtomicU8; SAID],
    seen: [AtomicU8; SEEN],
}

#[unsafe(no_mangle)]
// SAFETY: all of its fields are atomic integers, which may be zero.
static PROGRAM: Program = unsafe { MaybeUninit::zeroed().assume_init() };

fn run(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let bytes = parse("bytes", args.word("bytes")?, GIVEN as u64)? as usize;
    args.end()?;
    // SAFETY: the bytes are all inside of `given`, a static without padding. The host, which alone writes them, waits for the
    // reply, and the slice is used before it.
    let given = unsafe { slice::from_raw_parts(PROGRAM.given.as_ptr().cast(), bytes) };
    [&PROGRAM.begun, &PROGRAM.n_said, &PROGRAM.n_seen].into_iter().for_each(|number| number.store(0, Relaxed));
    let has_room = |room: usize, used: &AtomicU32| room - used.load(Relaxed) as usize >= LEFT;
    let lines = str::from_utf8(given).unwrap_or("").lines();
    for line in lines.take_while(|_| has_room(SAID, &PROGRAM.n_said) && has_room(SEEN, &PROGRAM.n_seen)) {
        carry_out(PROGRAM.begun.fetch_add(1, Relaxed), line);
    }
    reply.field("done", PROGRAM.begun.load(Relaxed));
    Ok(())
}

fn carry_out(index: u32, line: &str) {
    let mut parts = line.split('|');
    let mut inner = Reply::new(|text| say(kind::DATA, text));
    report::keep_next_panic(true);
    let outcome = batch::run_inside(parts.next().unwrap_or(""), &mut inner);
    report::keep_next_panic(false);
    say(kind::REPLY, format_args!("{index} {}", Answer { outcome: &outcome, reply: &inner }));
    for (look, pfns) in [look_at_slot, look_at_page].into_iter().zip(parts) {
        pfns.split(' ').flat_map(|pfn| parse("pfn", pfn, u64::MAX)).for_each(look);
    }
}

/// Writes a line as the console would.
fn say(kind: &str, text: fmt::Arguments<'_>) {
    Writer::<512>::new(|bytes| append(&PROGRAM.said, &PROGRAM.n_said, bytes)).line(kind, text);
}

/// Behind what does not fit nothing fits, so that the host misses the end.
fn append(room: &[AtomicU8], length: &AtomicU32, bytes: &[u8]) {
    let at = length.load(Relaxed) as usize;
    let end = at + bytes.len();
    length.store(end.min(room.len()) as u32, Relaxed);
    for (cell, &byte) in room.get(at..end).unwrap_or(&[]).iter().zip(bytes) {
        cell.store(byte, Relaxed);
    }
}

fn look_at_slot(pfn: u64) {
    append(&PROGRAM.seen, &PROGRAM.n_seen, &slot_table::peek(pfn));
}

/// Shows a frame's first word, and how many words behind it are the same as the one before.
fn look_at_page(pfn: u64) {
    let paddr = pfn_to_paddr(pfn);
    assert!(buddy::with(|buddy| buddy.block(paddr, 0).is_some()), "program: frame {pfn:#x} is not the buddy's");
    let first = ptr::with_exposed_provenance::<u64>(phys_to_virt(paddr) as usize);
    let words = PAGE_SIZE as usize / size_of::<u64>();
    // SAFETY: the buddy's frames are RAM, which the HHDM maps; the frame has as many words.
    let equal = unsafe { scan::words_equal_at_distance(first, 1, words - 1) } as u64;
    // SAFETY: the word is RAM that the HHDM maps, and aligned. The owner may write meanwhile: a volatile read loads it as it is.
    let word = unsafe { first.read_volatile() };
    append(&PROGRAM.seen, &PROGRAM.n_seen, &word.to_le_bytes());
    append(&PROGRAM.seen, &PROGRAM.n_seen, &equal.to_le_bytes());
}
