"""Proves that debug information tells which statics of a core are the shim's locks."""

from __future__ import annotations

from frame_harness.image.build import build
from frame_harness.memory_core.locks import declared_statics
from frame_harness.memory_core.tree import memory_core
from tests.support.core_mutants import TREE

BUDDY = "kernel_shim::memory::buddy::"
LOCKS = (f"{BUDDY}BUDDY_ALLOCATOR", f"{BUDDY}LOCAL_FRAME_CACHES")


def test_a_lock_and_an_array_of_locks_are_the_shims_and_a_counter_is_none() -> None:
    counter = f"{BUDDY}LOCAL_CACHED_ZONE_FRAMES"
    declared = declared_statics(build(memory_core(TREE), "release"), (*LOCKS, counter, f"{BUDDY}NOT_THERE"))
    assert declared == {**dict.fromkeys(LOCKS, True), counter: False}
