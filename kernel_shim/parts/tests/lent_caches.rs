//! Tests of what a CPU does with its caches alone.

use super::buddy::{expect_sound, full, FRAMES};
use super::slots::{Table, ALLOCATED, FREE, UNUSED};
use crate::buddy::lent_caches::LentCaches;
use crate::buddy::state::CACHE_CAPACITY;
use crate::buddy::Buddy;
use crate::random::Random;
use crate::zone::{Migratetype, Zone};
use crate::PAGE_SIZE;
use std::boxed::Box;
use std::vec::Vec;
use Migratetype::{Movable, Unmovable};

const CPU: usize = 1;

/// A buddy, its slots, and a CPU with a batch of unmovable frames in its cache.
fn lent() -> (Box<Buddy<&'static Table>>, &'static Table, Box<LentCaches>) {
    let (mut buddy, table) = full();
    let pfn = buddy.alloc(CPU, 0, Unmovable).expect("free memory");
    buddy.free(CPU, pfn * PAGE_SIZE, 0);
    let mut caches = Box::new(LentCaches::new());
    buddy.state.lend(CPU, &mut caches);
    (buddy, table, caches)
}

#[test]
fn a_frame_is_handed_out_and_taken_back_as_by_the_buddy() {
    let (mut buddy, table, mut caches) = lent();
    let pfn = caches.alloc(&table, Unmovable).expect("a frame in the cache");
    let slot = table.at(pfn);
    assert_eq!((slot.flags.get() & (FREE | ALLOCATED), slot.count.get()), (ALLOCATED, UNUSED));
    slot.count.set(0);
    buddy.state.take_back([(CPU, &mut *caches)].into_iter());
    assert_eq!(buddy.state.zones[Zone::of(pfn) as usize].allocated, 1);
    expect_sound(&buddy, table);
    buddy.state.lend(CPU, &mut caches);
    assert!(caches.free(&table, pfn * PAGE_SIZE));
    assert_eq!((slot.flags.get() & (FREE | ALLOCATED), slot.count.get()), (FREE, UNUSED));
    buddy.state.take_back([(CPU, &mut *caches)].into_iter());
    assert_eq!(buddy.state.zones[Zone::of(pfn) as usize].allocated, 0);
    expect_sound(&buddy, table);
}

#[test]
fn a_cpu_without_frames_of_the_kind_needs_the_buddy() {
    let (_, table, mut caches) = lent();
    assert_eq!(caches.alloc(&table, Movable), None);
    let taken = core::iter::from_fn(|| caches.alloc(&table, Unmovable)).count();
    assert_eq!(taken, 16);
}

#[test]
fn what_may_not_come_back_so_needs_the_buddy_and_changes_nothing() {
    let (mut buddy, table, mut caches) = lent();
    let pfn = caches.alloc(&table, Unmovable).expect("a frame in the cache");
    let slot = table.at(pfn);
    assert!(!caches.free(&table, pfn * PAGE_SIZE + 1), "no frame begins there");
    assert!(!caches.free(&table, FRAMES * PAGE_SIZE), "there is no slot for it");
    assert!(!caches.free(&table, 0), "nobody was given it");
    slot.poisoned.set(true);
    assert!(!caches.free(&table, pfn * PAGE_SIZE), "it is poisoned");
    slot.poisoned.set(false);
    slot.order.set(1);
    assert!(!caches.free(&table, pfn * PAGE_SIZE), "it is of a larger block");
    slot.order.set(0);
    assert!(caches.free(&table, pfn * PAGE_SIZE));
    assert!(!caches.free(&table, pfn * PAGE_SIZE), "it is free already");
    buddy.state.take_back([(CPU, &mut *caches)].into_iter());
    expect_sound(&buddy, table);
}

#[test]
fn a_full_cache_needs_the_buddy() {
    let (mut buddy, table, mut caches) = lent();
    buddy.state.take_back([(CPU, &mut *caches)].into_iter());
    let taken: Vec<_> = core::iter::from_fn(|| buddy.alloc(CPU, 0, Unmovable))
        .filter(|&pfn| Migratetype::home(pfn) == Unmovable)
        .take(CACHE_CAPACITY + 1)
        .collect();
    buddy.drain();
    buddy.state.lend(CPU, &mut caches);
    let came_back = taken.iter().filter(|&&pfn| caches.free(&table, pfn * PAGE_SIZE)).count();
    assert_eq!(came_back, CACHE_CAPACITY);
}

#[test]
fn faults_and_a_strict_buddy_keep_the_caches() {
    let (mut buddy, _) = full();
    assert!(buddy.may_lend());
    buddy.faults.refusals = 1;
    assert!(!buddy.may_lend());
    assert_eq!(buddy.alloc(CPU, 0, Unmovable), None);
    buddy.faults.next_frame = Some(100);
    assert!(!buddy.may_lend());
    assert_eq!(buddy.alloc(CPU, 0, Unmovable), Some(100));
    buddy.faults.missing_stamps = 1;
    assert!(!buddy.may_lend());
    buddy.free(CPU, 100 * PAGE_SIZE, 0);
    assert!(buddy.may_lend());
    buddy.strict = true;
    assert!(!buddy.may_lend());
}

#[test]
fn a_frame_may_come_back_to_another_cpu_than_the_one_that_handed_it_out() {
    let (mut buddy, table, mut caches) = lent();
    let mut other = Box::new(LentCaches::new());
    buddy.state.lend(0, &mut other);
    let pfn = caches.alloc(&table, Unmovable).expect("a frame in the cache");
    assert!(other.free(&table, pfn * PAGE_SIZE));
    buddy.state.take_back([(0, &mut *other), (CPU, &mut *caches)].into_iter());
    assert_eq!(buddy.state.zones[Zone::of(pfn) as usize].allocated, 0);
    expect_sound(&buddy, table);
}

#[test]
fn a_random_history_with_lent_caches_keeps_all_frames() {
    let (mut buddy, table) = full();
    let (mut random, mut held) = (Random::new(7), Vec::new());
    let mut all: Vec<LentCaches> = (0..4).map(|_| LentCaches::new()).collect();
    for _ in 0..200 {
        all.iter_mut().enumerate().for_each(|(cpu, caches)| buddy.state.lend(cpu, caches));
        for _ in 0..20 {
            let caches = &mut all[random.below(4) as usize];
            let wanted = if random.below(2) == 0 { Movable } else { Unmovable };
            if held.len() < 200 && random.below(2) == 0 {
                held.extend(caches.alloc(&table, wanted));
            } else if !held.is_empty() {
                let index = random.below(held.len() as u64) as usize;
                if caches.free(&table, held[index] * PAGE_SIZE) {
                    held.swap_remove(index);
                }
            }
        }
        buddy.state.take_back(all.iter_mut().enumerate());
        expect_sound(&buddy, table);
        let cpu = random.below(4) as usize;
        held.extend(buddy.alloc(cpu, 0, if random.below(2) == 0 { Movable } else { Unmovable }));
    }
    for pfn in held {
        buddy.free(0, pfn * PAGE_SIZE, 0);
    }
    buddy.drain();
    expect_sound(&buddy, table);
    assert_eq!(buddy.state.zones.iter().map(|zone| zone.free).sum::<u64>(), FRAMES - 1);
}
