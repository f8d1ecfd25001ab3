"""The table of slots is where the guest says, or the clause that promises one is broken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.base.errors import BootError, RamError
from frame_harness.base.units import Paddr, Vaddr
from frame_harness.guest.booted import slot_table
from frame_harness.guest.checks import ImpossibleValue
from frame_harness.guest.view import GuestAddresses, TableView
from tests.tiny_contract.contract import TINY

DTYPE = np.dtype([("owner", "<u8"), ("turns", "<u4")])
HHDM = Vaddr(0xFFFF_8000_0000_0000)
RAM_BYTES = 0x10000


class Ram:
    """64 KiB, of which nothing is looked at."""

    def array(self, paddr: Paddr, dtype: np.dtype[Any], count: int) -> object:
        if paddr + count * dtype.itemsize > RAM_BYTES:
            raise RamError("RAM", hex(paddr))
        return paddr, dtype, count


def found(meta_paddr: int, n_frames: int = 4) -> object:
    image = SimpleNamespace(
        slot_type="TinySlot", dtype={"TinySlot": DTYPE}.__getitem__, subject=SimpleNamespace(contract=TINY)
    )
    view = cast("TableView", SimpleNamespace(image=image, ram=Ram()))
    return slot_table(view, GuestAddresses(HHDM, Paddr(meta_paddr), 0, n_frames, Vaddr(0)))


def test_the_table_is_read_where_the_guest_says_in_the_type_of_its_slots() -> None:
    assert found(0x3000) == (0x3000, DTYPE, 4)


def test_a_guest_that_has_no_table_yet_breaks_no_promise() -> None:
    with pytest.raises(BootError, match="does not exist yet"):
        found(0x3000, n_frames=0)


@pytest.mark.parametrize(
    ("meta_paddr", "got"),
    [
        (RAM_BYTES, f"{HHDM + RAM_BYTES:#x}"),
        (RAM_BYTES - 1, "0xffff80000000ffff"),
        (0, "an address below the HHDM"),
    ],
    ids=["behind RAM", "across its end", "nowhere"],
)
def test_a_table_outside_of_ram_breaks_the_clause_of_the_contract(meta_paddr: int, got: str) -> None:
    with pytest.raises(ImpossibleValue) as raised:
        found(meta_paddr)
    assert (raised.value.clause, raised.value.function) == (TINY.table.clause, TINY.table.function)
    assert raised.value.got == got
    assert raised.value.expected == "4 slots of 12 bytes in RAM, seen through the HHDM"
