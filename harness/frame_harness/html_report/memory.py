"""What is known of the memory behind one failing check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from frame_harness.base.units import Pfn
from frame_harness.frame_metadata.memory_state import MemoryState
from frame_harness.pictures.life import DrawnLife


@dataclass(frozen=True, eq=False)
class CheckMemory:
    """Memory around the last command of a check's guest; all of it may be unknown.

    Args:
        frames: pfns that the finding is about, the most important first.
        payload: by pfn the bytes of a frame after the last command.
        life: of those frames, over the guest's commands.
        free_frames: after each step of a history the free frames by order, the first before any.
        console: the guest's whole transcript.
        notes: what could not be kept, and why.
    """

    before: MemoryState | None = None
    after: MemoryState | None = None
    frames: tuple[Pfn, ...] = ()
    payload: Mapping[Pfn, bytes] = field(default_factory=dict)
    life: DrawnLife | None = None
    free_frames: Sequence[Sequence[int]] = ()
    console: str = ""
    notes: tuple[str, ...] = ()


NOTHING = CheckMemory()
