//! Tests of the buddy over plain slots.

use super::expect_panic;
use super::slots::{buddy, Table, ALLOCATED, FREE, NONE, UNUSED};
use crate::buddy::block::Block;
use crate::buddy::log::Operation;
use crate::buddy::Buddy;
use crate::random::Random;
use crate::zone::{Migratetype, Zone, MAX_ORDER};
use crate::PAGE_SIZE;
use std::vec::Vec;
use Migratetype::{Movable, Unmovable};

pub const FRAMES: u64 = 8 << MAX_ORDER;

pub fn full() -> (std::boxed::Box<Buddy<&'static Table>>, &'static Table) {
    buddy(FRAMES, &[1..FRAMES])
}

/// Every free block, found by following all lists; each must lead back where it came from.
fn listed(buddy: &Buddy<&'static Table>, table: &'static Table) -> Vec<Block> {
    let mut blocks = Vec::new();
    for zone in &buddy.state.zones {
        for heads in &zone.heads {
            for (order, &head) in heads.iter().enumerate() {
                let (mut link, mut before) = (head, NONE);
                while link != NONE {
                    let block = zone.listed_block(&table, link, order as u8);
                    assert_eq!(table.at(block.first_pfn).previous.get(), before);
                    blocks.push(block);
                    (before, link) = (link, table.at(block.first_pfn).next.get());
                }
            }
        }
    }
    blocks
}

/// Requires the counters of each zone to add up, and to agree with the lists and the caches.
pub fn expect_sound(buddy: &Buddy<&'static Table>, table: &'static Table) {
    let blocks = listed(buddy, table);
    for (zone, state) in Zone::ALL.into_iter().zip(&buddy.state.zones) {
        let free: u64 = blocks.iter().filter(|b| Zone::of(b.first_pfn) == zone).map(|b| b.n_frames()).sum();
        let sum = state.free + state.cached + state.allocated + state.quarantined + state.reserved;
        assert_eq!((state.free, state.managed), (free, sum), "{zone:?}");
    }
    for block in &blocks {
        let whole = (block.order as usize) < MAX_ORDER && blocks.contains(&block.buddy());
        assert!(!whole, "{block} and its buddy are free, expected one block");
    }
    let cached = buddy.state.caches.iter().flatten().map(|cache| cache.len).sum::<u64>();
    assert_eq!(cached, buddy.state.zones.iter().map(|zone| zone.cached).sum::<u64>());
}

#[test]
fn all_frames_are_free_after_the_first_filling() {
    let (buddy, table) = full();
    expect_sound(&buddy, table);
    let free: u64 = buddy.state.zones.iter().map(|zone| zone.free).sum();
    assert_eq!(free, FRAMES - 1);
    assert_eq!(buddy.state.zones[0].reserved, 1);
    assert!((1..FRAMES).all(|pfn| table.at(pfn).count.get() == UNUSED && table.at(pfn).flags.get() & FREE != 0));
}

#[test]
fn a_block_is_split_and_coalesced_again() {
    let (mut buddy, table) = full();
    let before = listed(&buddy, table).len();
    let pfn = buddy.alloc(0, 3, Unmovable).expect("free memory");
    assert_eq!(pfn % 8, 0);
    assert!((pfn..pfn + 8).all(|pfn| table.at(pfn).flags.get() & (FREE | ALLOCATED) == ALLOCATED));
    assert_eq!(table.at(pfn).count.get(), UNUSED, "replacing the sentinel is the claim of the subject");
    expect_sound(&buddy, table);
    buddy.free(0, pfn * PAGE_SIZE, 3);
    expect_sound(&buddy, table);
    assert_eq!(listed(&buddy, table).len(), before);
}

#[test]
fn single_frames_go_through_the_cache_of_the_cpu() {
    let (mut buddy, table) = full();
    let pfn = buddy.alloc(1, 0, Movable).expect("free memory");
    let state = &buddy.state.zones[Zone::of(pfn) as usize];
    assert_eq!((state.allocated, state.cached), (1, 15));
    buddy.free(2, pfn * PAGE_SIZE, 0);
    let home = Migratetype::home(pfn).index();
    assert_eq!(buddy.state.caches[2][home].frames(), [pfn * PAGE_SIZE]);
    assert_eq!(buddy.drain(), 16);
    expect_sound(&buddy, table);
}

#[test]
fn a_poisoned_block_is_quarantined_when_it_is_freed() {
    let (mut buddy, table) = full();
    let pfn = buddy.alloc(0, 1, Unmovable).expect("free memory");
    table.at(pfn + 1).poisoned.set(true);
    buddy.free(0, pfn * PAGE_SIZE, 1);
    assert_eq!(buddy.state.zones[Zone::of(pfn) as usize].quarantined, 2);
    assert_eq!((table.at(pfn).count.get(), table.at(pfn).flags.get() & FREE), (0, 0));
    assert_eq!(buddy.log.iter().last().map(|event| event.operation), Some(Operation::Quarantine));
    expect_sound(&buddy, table);
}

#[test]
fn memory_runs_out_and_comes_back() {
    let (mut buddy, table) = buddy(64, &[8..64]);
    let taken: Vec<_> = core::iter::from_fn(|| buddy.alloc(0, 0, Movable)).collect();
    assert_eq!(taken.len(), 56);
    taken.iter().for_each(|pfn| buddy.free(0, pfn * PAGE_SIZE, 0));
    assert!(buddy.alloc(0, 5, Movable).is_some(), "what the caches hold may be all that is left");
    expect_sound(&buddy, table);
}

#[test]
fn injected_faults_last_as_long_as_they_were_asked_for() {
    let (mut buddy, table) = full();
    buddy.faults.refusals = 1;
    assert_eq!(buddy.alloc(0, 0, Unmovable), None);
    buddy.faults.next_frame = Some(100);
    assert_eq!(buddy.alloc(0, 0, Unmovable), Some(100));
    table.at(100).count.set(0);
    buddy.faults.missing_stamps = 1;
    buddy.free(0, 100 * PAGE_SIZE, 0);
    assert_eq!(table.at(100).count.get(), 0);
    buddy.faults.next_frame = Some(101);
    assert_eq!(buddy.alloc(0, 0, Unmovable), Some(101));
    buddy.free(0, 101 * PAGE_SIZE, 0);
    assert_eq!(table.at(101).count.get(), UNUSED);
    expect_sound(&buddy, table);
}

#[test]
fn a_block_that_nobody_has_is_not_freed() {
    let on_a_list = "double free: block 0x0 of order 3 is on a free list already";
    expect_panic(on_a_list, || buddy(64, &[0..64]).0.free(0, 0, 3));
    expect_panic("not a block that can have been handed out", || full().0.free(0, 0, 0));
}

#[test]
#[should_panic(expected = "lies in the cache of cpu 0 and is in use")]
fn a_frame_in_a_cache_that_is_in_use_was_freed_twice() {
    let (mut buddy, table) = full();
    let pfn = buddy.alloc(0, 0, Unmovable).expect("free memory");
    buddy.free(0, pfn * PAGE_SIZE, 0);
    table.at(pfn).flags.set(ALLOCATED);
    buddy.drain();
}

#[test]
fn a_broken_link_is_a_panic_that_changes_nothing() {
    let (mut buddy, table) = buddy(64, &[8..64]);
    let head = buddy.state.zones[0].heads.iter().flatten().copied().find(|&head| head != NONE).expect("a list");
    table.at(head / PAGE_SIZE).next.set(7 * PAGE_SIZE);
    let order = table.at(head / PAGE_SIZE).order.get();
    let before = buddy.state.zones[0].free;
    let attempt = std::panic::AssertUnwindSafe(|| buddy.alloc(0, order, Unmovable));
    assert!(std::panic::catch_unwind(attempt).is_err());
    table.at(head / PAGE_SIZE).next.set(NONE);
    assert_eq!(buddy.state.zones[0].free, before);
    expect_sound(&buddy, table);
}

#[test]
fn a_random_history_keeps_all_frames() {
    let (mut buddy, table) = full();
    let (mut random, mut held) = (Random::new(7), Vec::new());
    for _ in 0..4000 {
        let cpu = random.below(4) as usize;
        if held.len() < 200 && random.below(2) == 0 {
            let order = random.below(6) as u8;
            let wanted = if random.below(2) == 0 { Movable } else { Unmovable };
            if let Some(pfn) = buddy.alloc(cpu, order, wanted) {
                held.push((pfn, order));
            }
        } else if !held.is_empty() {
            let index = random.below(held.len() as u64) as usize;
            let (pfn, order) = held.swap_remove(index);
            buddy.free(cpu, pfn * PAGE_SIZE, order);
        }
    }
    for (pfn, order) in held {
        buddy.free(0, pfn * PAGE_SIZE, order);
    }
    buddy.drain();
    expect_sound(&buddy, table);
    assert_eq!(buddy.state.zones.iter().map(|zone| zone.free).sum::<u64>(), FRAMES - 1);
}

fn strict() -> (std::boxed::Box<Buddy<&'static Table>>, &'static Table) {
    let (mut buddy, table) = full();
    buddy.strict = true;
    (buddy, table)
}

#[test]
fn a_strict_buddy_refuses_what_lies_in_a_cache_or_in_quarantine_and_another_order() {
    for (order, freed_as, poisoned) in [(0, 0, false), (3, 2, false), (1, 1, true)] {
        let (mut buddy, table) = strict();
        let pfn = buddy.alloc(0, order, Unmovable).expect("free memory");
        table.at(pfn).poisoned.set(poisoned);
        if freed_as == order {
            buddy.free(0, pfn * PAGE_SIZE, order);
        }
        expect_panic("not of a block that was handed out", || buddy.free(0, pfn * PAGE_SIZE, freed_as));
    }
}

#[test]
fn a_strict_buddy_hands_out_no_poison() {
    let (mut buddy, table) = strict();
    let pfn = buddy.alloc(0, 1, Unmovable).expect("free memory");
    buddy.free(0, pfn * PAGE_SIZE, 1);
    table.at(pfn).poisoned.set(true);
    let taken: Vec<_> = core::iter::from_fn(|| buddy.alloc(0, 0, Unmovable)).collect();
    assert!(!taken.contains(&pfn));
    assert!(buddy.state.zones.iter().map(|zone| zone.quarantined).sum::<u64>() >= 1);
}

#[test]
fn a_block_of_one_zone_comes_from_there_or_not_at_all() {
    let (mut buddy, _) = full();
    for zone in Zone::ALL {
        while let Some(pfn) = buddy.alloc_in(zone, 2, Movable) {
            assert_eq!(Zone::of(pfn), zone);
        }
    }
    assert_eq!(buddy.alloc(0, 2, Movable), None);
}
