"""Proves that a core with locks of its own is not blamed for what these hold while they are free."""

from __future__ import annotations

from pathlib import Path

from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from frame_harness.memory_core.cores import SMALL
from tests.red.test_core_mutants import core_guest
from tests.support.core_mutants import CoreMutant, broken_tree
from tests.support.doors import check
from tests.support.same_place import same_place

TICKETS = """
#[repr(C)]
struct Tickets<T> {
    next: core::sync::atomic::AtomicU32,
    served: core::sync::atomic::AtomicU32,
    value: core::cell::UnsafeCell<T>,
}
// SAFETY: who has the ticket that is served alone reaches the value.
unsafe impl<T: Send> Sync for Tickets<T> {}
struct Served<'a, T>(&'a Tickets<T>);
impl<T> Tickets<T> {
    const fn new(value: T) -> Self {
        Self {
            next: core::sync::atomic::AtomicU32::new(0),
            served: core::sync::atomic::AtomicU32::new(0),
            value: core::cell::UnsafeCell::new(value),
        }
    }
    fn lock(&self) -> Served<'_, T> {
        use core::sync::atomic::Ordering::{Acquire, Relaxed};
        let mine = self.next.fetch_add(1, Relaxed);
        while self.served.load(Acquire) != mine {
            core::hint::spin_loop();
        }
        Served(self)
    }
}
impl<T> Drop for Served<'_, T> {
    fn drop(&mut self) {
        self.0.served.fetch_add(1, core::sync::atomic::Ordering::Release);
    }
}
impl<T> core::ops::Deref for Served<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the ticket is served.
        unsafe { &*self.0.value.get() }
    }
}
impl<T> core::ops::DerefMut for Served<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the ticket is served.
        unsafe { &mut *self.0.value.get() }
    }
}

static LOCAL_FRAME_CACHES: [Tickets<LocalFrameCache>; KINDS * MAX_CPUS] =
    [const { Tickets::new("""
OWN_LOCK = CoreMutant(
    "CORE-15", "caches in ticket locks", "buddy.rs",
    (
        (
            "static LOCAL_FRAME_CACHES: [SpinLock<LocalFrameCache>; KINDS * MAX_CPUS] =\n"
            "    [const { SpinLock::new(",
            TICKETS,
        ),
        ("fn cache_of(kind: Migratetype) -> &'static SpinLock<LocalFrameCache>",
         "fn cache_of(kind: Migratetype) -> &'static Tickets<LocalFrameCache>"),
    ),
)  # fmt: skip
CASE = "0x400000..0x4000000 free; b1 = alloc 0 unmovable any; free b1; b2 = alloc 11 unmovable any; free b2"


def test_a_core_whose_caches_have_ticket_locks_passes(tmp_path: Path) -> None:
    tree = broken_tree(same_place(), OWN_LOCK)
    result = check(tmp_path, "--kernel-src", tree, "--profile", "release", "--case", CASE)
    assert (result.status, result.kind) == (ExitCode.PASS, VerdictKind.PASS), result.out


def test_locks_that_are_not_the_shim_s_are_told_of() -> None:
    with core_guest(broken_tree(same_place(), OWN_LOCK), SMALL) as core:
        assert core.guest.alive and core.unjudged
        core.renew()  # what was found stays known
        told = {one.part: one.why for one in core.unjudged}
    assert (
        told["LOCAL_FRAME_CACHES"]
        == "who holds LOCAL_FRAME_CACHES is not judged: it is no lock of the shim's"
    )
    assert "BUDDY_ALLOCATOR" not in told
