"""Cases of a method are played, or it is said that there was none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.base.errors import UsageError
from frame_harness.base.units import Paddr, Pfn
from frame_harness.console.protocol import Fields, ReplyLine
from frame_harness.contract.methods import Case
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.guest.boundaries import play, violation, write_slots
from frame_harness.guest.reply import Reply

N_SLOTS = 16
METHOD = FRAME_METADATA.methods[0]
SLOT = np.dtype(
    {
        "names": list(META_SLOT.widths),
        "formats": [f"<u{bits // 8}" for bits in META_SLOT.widths.values()],
        "offsets": [one.offset for one in META_SLOT.fields if not one.reserved],
        "itemsize": META_SLOT.size,
    }
)


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


@pytest.mark.parametrize(
    ("reply", "after", "clause"),
    [
        pytest.param(ReplyLine(1, "ok", fields=Fields({"v": "0x7"})), 0, "REF-01", id="replies-wrong-alone"),
        pytest.param(ReplyLine(1, "ok", fields=Fields({"v": "0x7"})), 9, "REF-07", id="stores-wrong-too"),
        pytest.param(ReplyLine(1, "ok", fields=Fields({"v": "0x0"})), 9, "REF-07", id="stores-wrong"),
        pytest.param(ReplyLine(1, "fail", code="OutOfMemory"), 0, "REF-07", id="ends-wrong"),
    ],
)
def test_a_refused_drop_breaks_by_its_reply_another_clause_than_by_its_slot(
    reply: ReplyLine, after: int, clause: str
) -> None:
    method = next(one for one in FRAME_METADATA.methods if one.id == "dec_ref-sentinel")
    before = dict.fromkeys(META_SLOT.widths, 0)
    case = Case(before, (), method.effect(before, ()))
    slot = np.zeros(1, SLOT)
    write_slots(slot, [case], META_SLOT)
    slot["refcount"] = after
    told = violation(FRAME_METADATA, method, case, Reply("slot.dec_ref 0x0", reply), slot[0], Paddr(0))
    assert told.breaks == (clause,)
