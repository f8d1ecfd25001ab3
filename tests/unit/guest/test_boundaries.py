"""Cases of a method are played, or it is said that there was none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.base.errors import UsageError
from frame_harness.base.units import Pfn
from frame_harness.contract.methods import Case
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.guest.boundaries import play

N_SLOTS = 16
METHOD = FRAME_METADATA.methods[0]


def guest() -> Kernel:
    """One whose table has a few slots, and that cannot be asked anything."""
    image = SimpleNamespace(subject=SimpleNamespace(contract=FRAME_METADATA), lacks=())
    kernel: Any = SimpleNamespace(image=image, slots=lambda: np.zeros(N_SLOTS, "u1"))
    return cast("Kernel", kernel)


@pytest.mark.parametrize("first", [N_SLOTS, N_SLOTS + 7])
def test_a_first_slot_behind_the_table_leaves_no_slot_for_a_case(first: int) -> None:
    with pytest.raises(UsageError, match="expected a slot and a case, got 0 slots from frame 0x"):
        play(guest(), METHOD, first_pfn=Pfn(first))


def test_a_method_without_a_case_was_not_played() -> None:
    none: list[Case] = []
    with pytest.raises(UsageError, match="got 16 slots from frame 0x0 on, 0 cases"):
        play(guest(), METHOD, cases=none)
