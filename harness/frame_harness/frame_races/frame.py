"""The frame of a guest with a frame module whose slot two CPUs are on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from frame_harness.base.units import paddr_to_pfn
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_races.operations import GENERATION

PADDR_BITS: Final = 52
STOPS: Final = ("on_unmap", "on_last_ref", "buddy")
"""What a record of the shim's hooks says in the bits above the address."""
HOOKS: Final = "kernel_shim::memory::hooks"


class FrameInAGuest:
    """A frame that the buddy gave, with hooks that write down their calls.

    Attributes:
        known: `frame`, its physical address; by name virtual addresses of vtables.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.paddr = kernel.buddy_alloc(0, "unmovable")
        vtables = {name: kernel.vtable(name) for name in ("both", "unmap", "lastref")}
        self.known = {"frame": int(self.paddr), **vtables, "misaligned": vtables["both"] + 4}
        kernel.slots()[paddr_to_pfn(self.paddr)]["generation"] = GENERATION
        kernel.call("vt.clear")
        self._count, self._records = (
            kernel.bytes_at(*kernel.image.static(f"{HOOKS}::{name}")).view("<u8")
            for name in ("COUNT", "RECORDS")
        )

    def offer(self) -> None:
        """Make the buddy hand out this frame next."""
        self._kernel.offer(self.paddr)

    def beside(self) -> dict[str, str]:
        """The calls of hooks, in order."""
        return {"hooks": ", ".join(self._calls())}

    def _calls(self) -> Iterator[str]:
        for word in self._records[: int(self._count[0])].tolist():
            yield f"{STOPS[word >> 62]}({word & ((1 << PADDR_BITS) - 1):#x})"
