"""What a slot's field has to hold is read in RAM, and a finding says where."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.base.units import Paddr
from frame_harness.console.protocol import ReplyLine
from frame_harness.frame_guest.expecting import expect_field, expect_refusal, field_in_ram
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.reply import Reply

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


REFUSED = "frame 0x3000: refcount is 0x2, expected REFCOUNT_UNUSED (0xffffffff)"


def panicked(words: str) -> Reply:
    return Reply("alloc new", ReplyLine(1, "panic", text=words))


def test_a_refusal_names_the_frame_its_count_and_the_sentinel() -> None:
    expect_refusal("allocation", panicked(REFUSED), Paddr(0x3000), 2)
    expect_refusal("allocation", panicked("0x3000: 2, not 4294967295"), Paddr(0x3000), 2)


@pytest.mark.parametrize(
    "words", [REFUSED.partition(",")[0], REFUSED.replace("0x2", "0x1"), REFUSED.replace("0x3000", "0x4000")]
)
def test_a_refusal_that_says_less_is_a_finding(words: str) -> None:
    with pytest.raises(ClauseViolated, match="allocation"):
        expect_refusal("allocation", panicked(words), Paddr(0x3000), 2)
    with pytest.raises(ClauseViolated):
        expect_refusal("allocation", Reply("alloc new", ReplyLine(1, "ok")), Paddr(0x3000), 2)
