//! Commands for a memory core.

use super::operand::{self, Kind};
use crate::boot::region;
use crate::cpus::record::{Counters, SMP};
use crate::cpus::rounds;
use crate::memory::zone::{Zone, ZoneType};
use crate::memory::{boot_alloc, buddy, frame, paging};
use crate::sync::{noise, with_irqs_disabled, IrqDisabledToken};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use frame::{AllocError, PhysFrame};
use region::{MemoryKind, MemoryRegion};
use shim_parts::args::Args;
use shim_parts::command::{failed, refused, Code, Command, CommandError, CommandResult};
use shim_parts::reply::Reply;
use shim_parts::text::Text;
use x86_64::PhysAddr;

pub const COMMANDS: &[Command] = &[
    Command::new("core.offers", "", "which requests this version of the core knows", offers),
    Command::new("core.layout", "", "where the compiler put members that the host looks for by name", layout),
    Command::new("core.start", "[end of the HHDM]", "start the core on the map that the host wrote", start),
    Command::new("core.alloc", "<order> unmovable|movable any|dma|normal|highmem", "allocate a block", alloc),
    Command::new(
        "core.fill",
        "<order> unmovable|movable any|dma|normal|highmem <most>",
        "allocate blocks until there is none; a line for each",
        fill,
    ),
    Command::new("core.free", "<paddr> <order>", "free a block", free),
    Command::new("core.poison", "<paddr>", "poison a frame: its guard, as the frame module does it", poison),
    Command::new("core.storm", "<cpus> <iterations> <seed>", "random work of several CPUs at the same time", storm),
    Command::new("core.totals", "", "the pages that the core manages, and those that it says are allocated", totals),
];

fn offers(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    reply.flag("protected", cfg!(tree_has = "protected") || !crate::boot::limine::NAMES.is_empty());
    reply.flag("kinds", cfg!(tree_has = "alloc_migratetype"));
    reply.flag("poison", cfg!(tree_has = "mark_poisoned"));
    reply.flag("tables", cfg!(tree_has = "frame_options"));
    reply.flag("slots", cfg!(all(tree_has = "frame_options", tree_has = "unused")));
    reply.flag("ownership", cfg!(feature = "ownership"));
    reply.flag("hhdm", cfg!(tree_has = "is_hhdm_range_mapped_now"));
    Ok(())
}

/// A second witness of what the host knows from debug information.
fn layout(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    reply.field("zone_bytes", size_of::<Zone>());
    reply.field("page_count", core::mem::offset_of!(Zone, page_count));
    reply.field("allocated", core::mem::offset_of!(Zone, allocated));
    Ok(())
}

fn start(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let hhdm_end = args.u64_or("end of the HHDM", u64::MAX)?;
    args.end()?;
    start_core(hhdm_end);
    Ok(())
}

/// The order of the steps is that of a kernel: protected ranges, boot allocator, slots, buddy allocator.
pub fn start_core(hhdm_end: u64) {
    noise::end(); // a panic may have left it on
    paging::set_hhdm_end(hhdm_end);
    protect();
    let map = region::regions();
    boot_alloc::init_boot_allocator(map);
    frame::init_metadata_array(end_of_memory(map), &mut boot_alloc::get_boot_allocator().lock());
    buddy::init_buddy_allocator(map);
}

#[cfg(tree_has = "protected")]
fn protect() {
    let mut ranges = [None; region::MAX_PROTECTED];
    for (index, range) in ranges.iter_mut().enumerate() {
        *range = region::protected(index);
    }
    boot_alloc::set_protected_ranges(&ranges);
}

/// Older cores ask for each range by the name of a module.
#[cfg(not(tree_has = "protected"))]
fn protect() {}

/// The highest end of memory that the core may use.
fn end_of_memory(map: &[MemoryRegion]) -> u64 {
    let usable = map.iter().filter(|region| matches!(region.kind, MemoryKind::Free | MemoryKind::Reclaim));
    usable.map(|region| region.base.saturating_add(region.size)).max().unwrap_or(0)
}

/// What to allocate.
pub struct Wanted {
    pub order: u8,
    pub kind: Kind,
    pub zone: Option<ZoneType>,
}

impl Wanted {
    pub fn parse(args: &mut Args<'_>) -> Result<Self, CommandError> {
        Ok(Self { order: args.u8("order")?, kind: Kind::parse(args)?, zone: operand::zone(args)? })
    }

    pub fn allocate(&self) -> Result<PhysFrame, AllocError> {
        let Some(zone) = self.zone else {
            return with_irqs_disabled(|token| alloc_anywhere(token, self.order, self.kind));
        };
        buddy::get_allocator().lock().with_mut_and_token(|core, token| match core.as_mut() {
            Some(core) => alloc_in(core, self.order, zone, self.kind, token),
            None => Err(AllocError::OutOfMemory),
        })
    }
}

fn alloc(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let wanted = Wanted::parse(args)?;
    args.end()?;
    reply.hex("paddr", wanted.allocate().map_err(error)?.start_address.as_u64());
    Ok(())
}

/// Fails when it stopped at an error before it had the most blocks that it may take.
fn fill(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (wanted, most) = (Wanted::parse(args)?, args.u64("most")?);
    args.end()?;
    for _ in 0..most {
        reply.data(format_args!("{:#x}", wanted.allocate().map_err(error)?.start_address.as_u64()));
    }
    Ok(())
}

#[cfg(tree_has = "alloc_migratetype")]
fn alloc_anywhere(token: &IrqDisabledToken, order: u8, kind: Kind) -> Result<PhysFrame, AllocError> {
    buddy::alloc_migratetype(token, order, migratetype(kind))
}

#[cfg(not(tree_has = "alloc_migratetype"))]
fn alloc_anywhere(token: &IrqDisabledToken, order: u8, _kind: Kind) -> Result<PhysFrame, AllocError> {
    buddy::alloc(token, order)
}

#[cfg(tree_has = "alloc_zone_migratetype")]
fn alloc_in(
    core: &mut buddy::BuddyAllocator,
    order: u8,
    zone: ZoneType,
    kind: Kind,
    token: &IrqDisabledToken,
) -> Result<PhysFrame, AllocError> {
    core.alloc_zone_migratetype(order, zone, migratetype(kind), token)
}

#[cfg(not(tree_has = "alloc_zone_migratetype"))]
fn alloc_in(
    core: &mut buddy::BuddyAllocator,
    order: u8,
    zone: ZoneType,
    _kind: Kind,
    token: &IrqDisabledToken,
) -> Result<PhysFrame, AllocError> {
    core.alloc_zone(order, zone, token)
}

#[cfg(tree_has = "alloc_migratetype")]
fn migratetype(kind: Kind) -> crate::memory::zone::Migratetype {
    use crate::memory::zone::Migratetype;
    match kind {
        Kind::Unmovable => Migratetype::Unmovable,
        Kind::Movable => Migratetype::Movable,
    }
}

/// The refusal that says which error the core returned. Its variants differ between versions.
pub fn error(error: AllocError) -> CommandError {
    match Text::<32>::from_args(format_args!("{error:?}")).as_str() {
        "OutOfMemory" => failed("OutOfMemory"),
        "InvalidOrder" => failed("InvalidOrder"),
        "InvalidAddress" => failed("InvalidAddress"),
        _ => failed("Other"),
    }
}

fn free(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (paddr, order) = (args.u64("paddr")?, args.u8("order")?);
    args.end()?;
    let start_address = PhysAddr::try_new(paddr)
        .map_err(|_| refused(Code::Range, format_args!("{paddr:#x}: expected an address of at most 52 bits")))?;
    with_irqs_disabled(|token| buddy::free(token, PhysFrame { start_address }, order));
    Ok(())
}

#[cfg(tree_has = "mark_poisoned")]
fn poison(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let paddr = args.u64("paddr")?;
    args.end()?;
    frame::get_meta(PhysAddr::new_truncate(paddr)).mark_poisoned();
    Ok(())
}

#[cfg(not(tree_has = "mark_poisoned"))]
fn poison(_args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    Err(refused(Code::State, format_args!("this version of the core knows no poison")))
}

fn storm(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (cpus, iterations, seed) = (args.u64("cpus")?, args.u64("iterations")?, args.u64("seed")?);
    args.end()?;
    let ready = rounds::ready();
    if !(1..=ready).contains(&cpus) {
        return Err(refused(Code::Range, format_args!("cpus: expected 1 to {ready}, got {cpus}")));
    }
    let workers = || SMP.cpus[..cpus as usize].iter();
    for (number, cpu) in workers().enumerate() {
        cpu.iterations.store(iterations, Relaxed);
        cpu.seed.store((seed << 8) + number as u64 + 1, Relaxed);
    }
    rounds::run((1 << cpus) - 1);
    let sum =
        |counter: fn(&Counters) -> &AtomicU64| workers().map(|cpu| counter(&cpu.counters).load(Relaxed)).sum::<u64>();
    reply.field("allocated", sum(|counters| &counters.allocated));
    reply.field("released", sum(|counters| &counters.released));
    reply.field("violations", sum(|counters| &counters.violations));
    let first = workers().find(|cpu| cpu.first.op.load(Relaxed) != 0);
    reply.hex("paddr", first.map_or(0, |cpu| cpu.first.paddr.load(Relaxed)));
    Ok(())
}

fn totals(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    args.end()?;
    let core = buddy::get_allocator().lock();
    let Some(core) = core.as_ref() else {
        return Err(refused(Code::State, format_args!("the core is not started")));
    };
    let (managed, allocated) = core.page_totals();
    reply.field("managed", managed);
    reply.field("allocated", allocated);
    Ok(())
}
