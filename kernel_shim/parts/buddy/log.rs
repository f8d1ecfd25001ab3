//! The log of the buddy: the last requests that it served, without those served from [lent caches](super::lent_caches).

use crate::named::named;
use crate::zone::Migratetype;

/// The number of events that are kept.
const CAPACITY: usize = 256;

named! {
    pub enum Operation {
        Alloc "alloc",
        Free "free",
        Quarantine "quarantine",
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub operation: Operation,
    pub order: u8,
    /// For an allocation the one that was requested, otherwise that of the block's home list.
    pub migratetype: Migratetype,
    pub paddr: u64,
    /// Whether it came out of a CPU's cache without a refill, or went into one.
    pub cached: bool,
}

pub struct EventLog {
    events: [Option<Event>; CAPACITY],
    next: usize,
}

impl EventLog {
    pub const fn new() -> Self {
        Self { events: [None; CAPACITY], next: 0 }
    }

    pub(super) fn record(&mut self, event: Event) {
        self.events[self.next] = Some(event);
        self.next = (self.next + 1) % CAPACITY;
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        let (newer, older) = self.events.split_at(self.next);
        older.iter().chain(newer).flatten()
    }

    pub fn clear(&mut self) {
        *self = Self::new();
    }
}
