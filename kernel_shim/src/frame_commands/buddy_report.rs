//! Commands that report on the buddy as a whole.

use super::operand;
use crate::memory::buddy;
use crate::memory::subject::{get_meta, FRAME_META_LINK_NONE as LINK_NONE};
use crate::memory::subject_slots::SubjectSlots;
use shim_parts::buddy::state::ZoneState;
use shim_parts::command::{Args, Command, CommandResult, Reply};
use shim_parts::pfn_to_paddr;
use shim_parts::zone::{Migratetype, Zone, MAX_ORDER};
use x86_64::PhysAddr;

pub const COMMANDS: &[Command] = &[
    Command::new("stats", "", "what became of the frames of each zone, and the sums", stats),
    Command::new("lists", "", "the free lists that are not empty", lists),
];

/// A key with its counter.
type Counter = (&'static str, fn(&ZoneState) -> u64);

const COUNTERS: [Counter; 6] = [
    ("managed", |zone| zone.managed),
    ("free", |zone| zone.free),
    ("cached", |zone| zone.cached),
    ("allocated", |zone| zone.allocated),
    ("quarantined", |zone| zone.quarantined),
    ("reserved", |zone| zone.reserved),
];

fn stats(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    operand::require_buddy()?;
    buddy::with(|buddy| {
        for zone in Zone::ALL {
            let state = &buddy.state.zones[zone as usize];
            let (name, first, end) = (zone.name(), state.first_pfn, state.end_pfn);
            let [managed, free, cached, allocated, quarantined, reserved] = COUNTERS.map(|(_, counter)| counter(state));
            reply.data(format_args!(
                "zone={name} first_pfn={first} end_pfn={end} managed={managed} free={free} cached={cached} \
                 allocated={allocated} quarantined={quarantined} reserved={reserved}"
            ));
        }
        for (name, counter) in COUNTERS {
            reply.field(name, buddy.state.zones.iter().map(counter).sum::<u64>());
        }
    });
    Ok(())
}

fn lists(_args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    operand::require_buddy()?;
    let (mut blocks, mut frames) = (0, 0);
    buddy::with(|buddy| {
        for zone in Zone::ALL {
            let state = &buddy.state.zones[zone as usize];
            for migratetype in Migratetype::ALL {
                for order in 0..=MAX_ORDER as u8 {
                    let head = state.heads[migratetype.index()][order as usize];
                    let count = length(state, head, order);
                    if count > 0 {
                        let (zone, mt) = (zone.name(), migratetype.name());
                        reply.data(format_args!("zone={zone} mt={mt} order={order} head={head:#x} count={count}"));
                    }
                    blocks += count;
                    frames += count << order;
                }
            }
        }
    });
    reply.field("blocks", blocks);
    reply.field("frames", frames);
    Ok(())
}

/// The length of a list. One with more blocks than the zone has frames is a cycle, a panic like any other corruption.
fn length(zone: &ZoneState, head: u64, order: u8) -> u64 {
    let mut count = 0;
    let mut link = head;
    while link != LINK_NONE {
        let block = zone.listed_block(&SubjectSlots, link, order);
        count += 1;
        assert!(count <= zone.end_pfn, "buddy: the free list of order {order} at {head:#x} is a cycle");
        link = get_meta(PhysAddr::new(pfn_to_paddr(block.first_pfn))).next();
    }
    count
}
