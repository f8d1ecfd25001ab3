"""The frames of a guest with a frame module that two CPUs are on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from frame_harness.base.units import paddr_to_pfn
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_races.operations import ALLOCATES, GENERATION
from frame_harness.frame_races.scenes import OF_OTHER

PADDR_BITS: Final = 52
STOPS: Final = ("on_unmap", "on_last_ref", "buddy")
"""What a record of the shim's hooks says in the bits above the address."""
FILLED: Final = 0x5C  # ours
HOOKS: Final = "kernel_shim::memory::hooks"


class FrameInAGuest:
    """A frame that the buddy gave, with hooks that write down their calls, and a second one.

    Attributes:
        other: physical address of the second one.
        readying: commands that fill a CPU's own stock of frames.
        known: `frame`, its physical address; by name virtual addresses of vtables.
    """

    readying: Final = (f"{ALLOCATES} new zeroed=0",)

    def __init__(self, kernel: Kernel) -> None:
        self.paddr = kernel.buddy_alloc(0, "unmovable")
        vtables = {name: kernel.vtable(name) for name in ("both", "unmap", "lastref")}
        self.known = {"frame": int(self.paddr), **vtables, "misaligned": vtables["both"] + 4}
        self.other = kernel.buddy_alloc(0, "unmovable")
        slots = kernel.slots()
        slots[paddr_to_pfn(self.paddr)]["generation"] = GENERATION
        for name, value in OF_OTHER.items():
            slots[paddr_to_pfn(self.other)][name] = self.known[value] if isinstance(value, str) else value
        self._payload = kernel.payload(self.paddr)
        kernel.call("vt.clear")
        self._count, self._records = (
            kernel.bytes_at(*kernel.image.static(f"{HOOKS}::{name}")).view("<u8")
            for name in ("COUNT", "RECORDS")
        )

    @property
    def offering(self) -> str:
        """The command that makes the buddy hand out this frame next."""
        return f"inject buddy.next {self.paddr:#x}"

    def fill(self) -> None:
        """Fill the payload of the frame with a byte that is not zero."""
        self._payload.fill(FILLED)

    def beside(self) -> dict[str, str]:
        """The calls of hooks, in order; which bytes the payload of the frame holds."""
        held = ", ".join(f"{byte:#04x}" for byte in np.unique(self._payload).tolist())
        return {"hooks": ", ".join(self._calls()), "payload": held}

    def _calls(self) -> Iterator[str]:
        for word in self._records[: int(self._count[0])].tolist():
            yield f"{STOPS[word >> 62]}({word & ((1 << PADDR_BITS) - 1):#x})"
