"""What a booted guest shows of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from frame_harness.base.errors import ProtocolError
from frame_harness.base.units import Paddr, Vaddr
from frame_harness.image.image import Image
from frame_harness.machine.ram import GuestRam


@dataclass(frozen=True)
class Region:
    """One range of the guest's memory map, addresses in bytes, `end` exclusive."""

    base: Paddr
    end: Paddr
    kind: str

    @classmethod
    def parsed(cls, line: str) -> Region:
        """Read a line of `map`.

        Raises:
            ProtocolError: it is none.
        """
        try:
            base, end, kind = line.split()
            return cls(Paddr(int(base, 0)), Paddr(int(end, 0)), kind)
        except ValueError:
            raise ProtocolError("map", repr(line), expected="<base> <end> <kind>") from None


@dataclass(frozen=True)
class GuestAddresses:
    """What the shim publishes in its `WITNESS` static; addresses in bytes."""

    hhdm_base: Vaddr
    meta_paddr: Paddr
    meta_bytes: int
    n_frames: int
    buddy_vaddr: Vaddr


class TableView(Protocol):
    """Where a guest's slot table is looked for."""

    image: Image
    ram: GuestRam
