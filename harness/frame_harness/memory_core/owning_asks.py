"""What the steps about owners of blocks have in common: the core's functions, panics, frames to watch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from frame_harness.guest.reply import Reply
from frame_harness.memory_core.judging import CoreViolation
from frame_harness.memory_core.owning_files import OWNERSHIP
from frame_harness.memory_core.playing import Playing

FUNCTIONS: Final = {
    "block.handle": "BlockHandle::is_valid",
    "own.claim": "OwnershipTable::claim",
    "own.ensure": "OwnershipTable::ensure_ref",
    "own.add": "OwnershipTable::add_ref",
    "own.remove": "OwnershipTable::remove_ref",
    "own.release": "OwnershipTable::release",
    "own.pin": "OwnershipTable::pin",
    "own.unpin": "OwnershipTable::unpin",
    "own.find": "OwnershipTable::handle_containing",
    "own.resolve": "block_meta::resolve_handle",
    "cow.inc": "cow::frame_inc_ref",
    "cow.dec": "cow::frame_dec_ref",
    "cow.count": "cow::frame_get_refcount",
    "cow.init": "cow::handle_init_ref",
    "cow.set": "cow::frame_set_cow",
    "cow.clear": "cow::frame_clear_cow",
    "dll.set": "cow::frame_set_dll",
}
"""The core's function behind a command."""


def panic_of(
    playing: Playing, clause: str, line: str, reply: Reply, *, of_allocator: str = ""
) -> CoreViolation:
    """The panic of a request; `of_allocator`: the clause that it breaks outside of the files of owners."""
    found = playing.panicked(clause, f"`{line}`", "an answer", reply)
    place = PurePath(found.cause.rpartition(":")[0]).name
    return replace(found, clause=of_allocator) if of_allocator and place not in OWNERSHIP else found


def near_blocks(playing: Playing) -> NDArray[Any]:
    """The pfns, shape (k,), of all blocks that callers hold, with one before and one behind each."""
    count = len(playing.core.slots())
    spans = [np.arange(max(one.pfn - 1, 0), min(one.end + 1, count)) for one in playing.held()]
    return np.unique(np.concatenate(spans)) if spans else np.empty(0, np.int64)
