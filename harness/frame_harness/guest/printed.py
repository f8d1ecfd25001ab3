"""The slot table as the guest prints it: independent of guest RAM that is mapped."""

from __future__ import annotations

from typing import Protocol

from frame_harness.base.units import Pfn
from frame_harness.console import dump
from frame_harness.guest.reply import Reply
from frame_harness.image.image import Image


class Printer(Protocol):
    """A guest that prints, and counts what it was asked for: every dump must have come whole."""

    image: Image
    dumps_requested: int
    dumps_whole: int

    def call(self, command: str, *arguments: int | str) -> Reply: ...


class Printed:
    """What a guest prints of its own slots."""

    def __init__(self, guest: Printer) -> None:
        self._guest = guest
        self._slot_bytes = guest.image.dtype(guest.image.slot_type).itemsize

    def runs(self, first_pfn: Pfn, count: int, most_runs: int | None = None) -> dump.Dump:
        """Slots in runs of equal ones.

        Args:
            most_runs: after which the guest ends; then there may be fewer slots.
        """
        limit = () if most_runs is None else (most_runs,)
        self._guest.dumps_requested += 1
        lines = self._guest.call("dump", first_pfn, count, *limit).data
        printed = dump.decode(
            lines, first_pfn=first_pfn, count=count, slot_bytes=self._slot_bytes, most_runs=most_runs
        )
        self._guest.dumps_whole += 1
        return printed

    def sums(self, first_pfn: Pfn, count: int, piece: int) -> list[int]:
        """The CRC-32 of each `piece` slots, as the guest reads them, whatever they hold."""
        self._guest.dumps_requested += 1
        lines = self._guest.call("dump.sums", first_pfn, count, piece).data
        sums = dump.decode_sums(
            lines, first_pfn=first_pfn, count=count, piece=piece, slot_bytes=self._slot_bytes
        )
        self._guest.dumps_whole += 1
        return sums
