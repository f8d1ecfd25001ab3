"""A poisoned frame may be kept from everybody; whatever else is not as predicted is told."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from frame_harness.base.units import Pfn
from frame_harness.console.protocol import Fields, ReplyLine
from frame_harness.frame_histories.interpreter import Prediction
from frame_harness.frame_histories.lockstep import Lockstep
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.frame_metadata.model import Done
from frame_harness.guest.reply import Reply

KEPT = Pfn(5)
SLOT = np.dtype([(name, f"<u{bits // 8}") for name, bits in META_SLOT.widths.items()])
ANSWER = Reply("alloc", ReplyLine(1, "ok", fields=Fields({"paddr": "0x7000"})))


class Offered(Lockstep):
    """A guest that was offered a poisoned frame, and a model that has put it into quarantine."""

    def __init__(self) -> None:
        self._table = np.zeros(8, SLOT)
        self._table["guard"][KEPT] = C.guard_poisoned
        expected = self._table.copy()
        self._table["flags"][KEPT], self._table["refcount"][KEPT] = 0x1100, C.refcount_unused
        self.expected: Any = SimpleNamespace(
            slots=expected, differing=lambda slots: np.flatnonzero(slots != expected)
        )
        self.model = cast("Any", None)
        self.buddy: Any = SimpleNamespace(compare=self._counters)
        self.miscounted, self.spilt = False, False

    def _counters(self, _model: object, kept: Collection[Pfn], met: Collection[Pfn]) -> object:
        return "a counter" if self.miscounted or not {KEPT}.issuperset(kept) or set(met) != {KEPT} else None

    def _compare_all_payload(self) -> Any:
        return "some payload" if self.spilt else None


def is_leak(guest: Offered, *, sound: bool = True, paddr: int = 0x7000) -> bool:
    met = frozenset({KEPT})
    return guest._is_leak(Prediction(Done({"paddr": paddr}), poison_met=met, sound=sound), ANSWER)


def test_a_poisoned_frame_that_is_neither_handed_out_nor_in_quarantine_is_a_leak() -> None:
    assert is_leak(Offered())
    assert not is_leak(Offered(), paddr=0x5000), "another frame had to be handed out"


def of_slot(name: str, value: int, pfn: Pfn = KEPT) -> Callable[[Offered], None]:
    def change(guest: Offered) -> None:
        guest._table[name][pfn] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(of_slot(name, 1) for name in ("next", "prev", "vtable", "generation", "guard", "meta_aux")),
        of_slot("guard", C.guard_poisoned | 1),
        of_slot("flags", 1, Pfn(6)),
        lambda guest: setattr(guest, "miscounted", True),
        lambda guest: setattr(guest, "spilt", True),
    ],
)
def test_whatever_else_is_not_as_predicted_is_no_leak(change: Callable[[Offered], None]) -> None:
    guest = Offered()
    change(guest)
    assert not is_leak(guest)


def test_a_guard_and_a_vtable_that_its_user_gave_to_a_free_frame_may_be_cleared() -> None:
    guest = Offered()
    guest.expected.slots["vtable"][KEPT], guest.expected.slots["guard"][KEPT] = 0x9000, C.guard_poisoned | 1
    assert is_leak(guest, sound=False) and not is_leak(guest)
    for name, value, why in (
        ("guard", 0, "it is healed"),
        ("guard", C.guard_poisoned | 2, "its user gave it another guard"),
        ("vtable", 0x9008, "its user gave it another vtable"),
    ):
        other = copy.deepcopy(guest)
        other._table[name][KEPT] = value
        assert not is_leak(other, sound=False), why
