"""The frame that two CPUs of a guest are on, and the slots that it begins with, without a guest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from frame_harness.base.units import PAGE_SIZE, Paddr, paddr_to_pfn
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.frame_races.operations import GENERATION
from frame_harness.frame_races.rules import IN_USE, LIVES, OFFERED, VARIANTS, FrameInAGuest
from frame_harness.races.scenes import Scene

FRAME, OTHER = Paddr(0x3000), Paddr(0x4000)
VTABLES = {"both": 0x9000, "unmap": 0x9100, "lastref": 0x9200}


class Guest:
    """Stands in for a guest whose hooks have written down two calls, and something older behind them."""

    def __init__(self) -> None:
        self.table = np.zeros(
            8, np.dtype([(name, f"<u{bits // 8}") for name, bits in META_SLOT.widths.items()])
        )
        self.frames = {paddr: np.zeros(PAGE_SIZE, np.uint8) for paddr in (FRAME, OTHER)}
        self._free = iter((FRAME, OTHER))
        self.done: list[str] = []
        self.image = SimpleNamespace(static=lambda path: (path.rpartition("::")[2], 0))
        # The upper two bits say which hook it was; of the address 52 bits are kept.
        records = np.array([FRAME, 1 << 62 | 1 << 53 | 0x5000, 2 << 62 | 0x7000], "<u8")
        self.words = {"COUNT": np.array([2], "<u8"), "RECORDS": records}

    def buddy_alloc(self, order: int, migratetype: str) -> Paddr:
        self.done.append(f"alloc {order} {migratetype}")
        return next(self._free)

    def payload(self, paddr: Paddr) -> NDArray[np.uint8]:
        return self.frames[paddr]

    def vtable(self, name: str) -> int:
        return VTABLES[name]

    def slots(self) -> NDArray[np.generic]:
        return self.table

    def call(self, command: str) -> None:
        self.done.append(command)

    def bytes_at(self, name: str, _size: int) -> NDArray[np.generic]:
        return self.words[name].view(np.uint8)


def test_two_frames_are_taken_whose_slots_differ_and_no_calls_of_hooks_are_known() -> None:
    guest = Guest()
    raced = FrameInAGuest(cast("Kernel", guest))
    assert raced.known == {"frame": FRAME, **VTABLES, "misaligned": VTABLES["both"] + 4}
    assert guest.table["generation"][paddr_to_pfn(FRAME)] == GENERATION
    other = guest.table[paddr_to_pfn(OTHER)]
    for scene in (IN_USE, *VARIANTS):
        for name, value in scene.fields.items():
            assert other[name] != (raced.known[value] if isinstance(value, str) else value), name
    assert raced.offering == f"inject buddy.next {FRAME:#x}"
    assert guest.done == ["alloc 0 unmovable", "alloc 0 unmovable", "vt.clear"]


def test_the_payload_of_the_first_frame_alone_is_filled_and_told() -> None:
    guest = Guest()
    raced = FrameInAGuest(cast("Kernel", guest))
    raced.fill()
    assert raced.beside()["payload"] == "0x5c" and not guest.frames[OTHER].any()
    guest.frames[FRAME][5] = 0
    assert raced.beside()["payload"] == "0x00, 0x5c"


def test_calls_of_hooks_are_told_in_order_as_far_as_they_count() -> None:
    guest = Guest()
    raced = FrameInAGuest(cast("Kernel", guest))
    assert raced.beside()["hooks"] == "on_unmap(0x3000), on_last_ref(0x5000)"
    guest.words["COUNT"][0] = 3
    assert raced.beside()["hooks"] == "on_unmap(0x3000), on_last_ref(0x5000), buddy(0x7000)"
    guest.words["COUNT"][0] = 0
    assert raced.beside()["hooks"] == ""


@pytest.mark.parametrize("scene", [IN_USE, *VARIANTS], ids=lambda scene: scene.name)
def test_a_scene_of_a_frame_in_use_writes_every_field_and_changes_those_that_it_says(scene: Scene) -> None:
    assert not scene.free
    assert scene.fields.keys() == LIVES.keys() == META_SLOT.widths.keys()
    assert {name for name, value in scene.fields.items() if value != LIVES[name]} == (
        scene.changes or {}
    ).keys()
    names = {value for value in scene.fields.values() if isinstance(value, str)}
    assert names <= FrameInAGuest(cast("Kernel", Guest())).known.keys()


def test_nothing_is_written_to_the_slot_of_a_free_frame() -> None:
    assert OFFERED.free and OFFERED.fields == {}
