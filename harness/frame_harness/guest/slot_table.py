"""Finds the slots of a guest in its RAM, where the guest says that they are."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from frame_harness.base.errors import BootError, RamError
from frame_harness.guest.checks import ImpossibleValue
from frame_harness.guest.view import GuestAddresses, TableView


def slot_table(kernel: TableView, witness: GuestAddresses) -> NDArray[Any]:
    """The slots in guest RAM, shape (n_frames,), from where the guest says that they are; no copy.

    Raises:
        BootError: there is no table yet.
        ImpossibleValue: it is not where the HHDM shows RAM.
    """
    if witness.n_frames == 0:
        raise BootError("slot table", detail="the metadata array does not exist yet")
    dtype, promise = kernel.image.dtype(kernel.image.slot_type), kernel.image.subject.contract.table
    # The guest knows the table by `get_meta(0)`; an address below the HHDM is told as 0.
    if witness.meta_paddr != 0:
        try:
            return kernel.ram.array(witness.meta_paddr, dtype, witness.n_frames)
        except RamError:
            pass  # told below, as the value that it is
    raise ImpossibleValue(
        promise.clause,
        "slot of frame 0, from which all others follow",
        expected=f"{witness.n_frames} slots of {dtype.itemsize} bytes in RAM, seen through the HHDM",
        got=f"{witness.hhdm_base + witness.meta_paddr:#x}"
        if witness.meta_paddr
        else "an address below the HHDM",
        function=promise.function,
    )
