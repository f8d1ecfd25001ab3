"""What a slot's field has to hold is read in RAM, and a finding says where."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.base.units import Paddr
from frame_harness.frame_guest.expecting import expect_field, field_in_ram
from frame_harness.guest.checks import ClauseViolated

SLOTS = np.zeros(4, [("flags", "<u4"), ("refcount", "<u4")])
SLOTS["refcount"] = [7, 8, 9, 10]
KERNEL = cast("Any", SimpleNamespace(slots=lambda: SLOTS))


def test_a_field_is_that_of_the_frame_s_slot() -> None:
    assert field_in_ram(KERNEL, Paddr(0x2000), "refcount") == 9
    expect_field(KERNEL, Paddr(0x2FFF), "refcount", 9, "refcount")


def test_another_value_is_a_finding_with_its_frame_and_field() -> None:
    with pytest.raises(ClauseViolated, match="refcount after it") as raised:
        expect_field(KERNEL, Paddr(0x3000), "refcount", 11, "refcount after it", base=16, function="f")
    found = raised.value
    assert (found.frame, found.field, found.expected, found.got) == (0x3000, "refcount", "0xb", "0xa")
    assert found.function == "f"
