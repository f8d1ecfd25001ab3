"""What a booted guest shows of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from frame_harness.base.errors import ProtocolError
from frame_harness.base.units import Paddr, Vaddr
from frame_harness.guest.reply import Reply
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


class GuestView(TableView, Protocol):
    """A guest's console and memory; `slots` gives the table in RAM, shape (n_frames,)."""

    frames: int

    @property
    def witness(self) -> GuestAddresses: ...

    def request(self, command: str) -> Reply: ...

    def call(self, command: str, *arguments: int | str) -> Reply: ...

    def slots(self) -> NDArray[Any]: ...

    def buddy(self) -> Any: ...

    def memory_map(self) -> list[Region]: ...
