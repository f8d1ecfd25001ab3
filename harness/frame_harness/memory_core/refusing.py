"""Tells whether a core that does not start refuses a map that it may refuse."""

from __future__ import annotations

from frame_harness.base.units import PAGE_SIZE, Paddr
from frame_harness.memory_core.maps import MemoryMap, common, length

_DEFECTS = (
    "attempt to", "index out of bounds", "out of range", "assertion", "called `", "unreachable",
    "range start", "range end", "slice index", "ptr::", "unsafe precondition", "capacity overflow",
    "null pointer", "misaligned", "deadlock:", "inconsistency",
)  # fmt: skip
_SLOT_BYTES, _BITS_BYTES, _REGION_BYTES, _SPARE = 64, 4, 1024, 512 << 10


def may_refuse(memory: MemoryMap, words: str) -> bool:
    """Whether a panic while the core starts is a refusal in words, of a map that may be refused.

    It may be where the largest piece of usable memory cannot hold twice what a core of this design needs: a
    slot for each frame up to the highest, bits and tags, a table of segments.
    """
    if any(sign in words for sign in _DEFECTS):
        return False
    if memory.strange:
        return True
    within = (
        memory.usable
        if memory.hhdm_end is None
        else common(memory.usable, [(Paddr(0), Paddr(memory.hhdm_end))])
    )
    largest = max((end - first for first, end in within), default=0)
    frames, slots = length(memory.usable) // PAGE_SIZE, memory.top // PAGE_SIZE
    need = slots * _SLOT_BYTES + frames * _BITS_BYTES + len(memory.regions) * _REGION_BYTES + _SPARE
    return largest < 2 * need
