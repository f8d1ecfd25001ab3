"""What a storm is about in a guest with a frame module: its frames, their lives, the blocks that are free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn
from frame_harness.concurrency.smp import ProgramResult
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.memory_state import MemoryState
from frame_harness.guest.checks import expect


class FrameMemory:
    """Frames of one guest in a storm; the caches of its CPUs are emptied before anything is compared."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._free: set[tuple[Pfn, int, str]] = set()
        self._generations: Any = None

    def take(self, count: int) -> list[Paddr]:
        """Note which blocks are free, then allocate frames."""
        self._kernel.call("buddy.drain")
        self._free = self._kernel.free_blocks()
        return [self._kernel.alloc(zeroed=False) for _ in range(count)]

    def begin(self) -> None:
        """Note the generation of every frame, where this version of a module has generations."""
        if self._kernel.image.has(f"{FRAME_METADATA.slot.name}.generation"):
            self._generations = self._kernel.slots()["generation"].copy()

    def end(self, outcome: ProgramResult, frames: Sequence[Paddr]) -> None:
        """Require one new generation for each allocation that the CPUs counted; give the frames back."""
        if self._generations is not None:
            what = "generations that began, over all frames"
            growth = growth_of(self._generations, self._kernel.slots()["generation"])
            function = FRAME_METADATA.functions.allocates
            expect(what, growth, outcome.total("allocated"), field="generation", function=function)
        slots = self._kernel.slots()
        for paddr in frames:
            # In RAM: not every version of a module has methods, or fields, for it.
            for name, value in (("refcount", 1), ("guard", 0)):
                if name in (slots.dtype.names or ()):
                    slots[paddr_to_pfn(paddr)][name] = value
            self._kernel.release(paddr)
        self._kernel.call("buddy.drain")

    def state(self) -> MemoryState:
        """The whole bookkeeping of memory."""
        return self._kernel.state()

    def expect_as_before(self) -> None:
        """Require that the blocks which were free at first are free, and no others."""
        now = self._kernel.free_blocks()
        expect("blocks missing from the free lists", sorted(self._free - now)[:5], [])
        expect("blocks that were not there at first", sorted(now - self._free)[:5], [])


def growth_of(before: Any, now: Any) -> int:
    """How many lives began between two looks at all generations, shape (n_frames,); generations wrap."""
    return int((now - before).astype("<u4").sum(dtype="<u8"))
