"""What is different is told in words that a person can read, with the clause that it breaks."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from frame_harness.base.units import Pfn
from frame_harness.console.protocol import Fields, ReplyLine
from frame_harness.frame_histories.attribution import blame
from frame_harness.frame_histories.differences import HistoryDifference, Look, of_payload, of_reply
from frame_harness.frame_histories.interpreter import Prediction
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.model import Panic, PanicKind
from frame_harness.frame_metadata.slot_methods import SLOT_METHODS
from frame_harness.guest.reply import Reply


def answer(status: Literal["ok", "panic"], **fields: str) -> Reply:
    return Reply("slot.dec_ref 0x1000", ReplyLine(1, status, fields=Fields(fields)))


@pytest.mark.parametrize("count", [0, C.refcount_unused])
def test_a_reference_that_is_refused_quietly_returns_the_count_before(count: int) -> None:
    """So the model says, and so do the cases of the method."""
    prediction = Prediction(Panic(PanicKind.REFERENCE, {"v": count}))
    assert of_reply(prediction, answer("panic")) is None
    assert of_reply(prediction, answer("ok", v=f"{count:#x}")) is None
    found = of_reply(prediction, answer("ok", v="0x7"))
    assert found is not None and found.line.endswith(f"expected a panic, or {count:#x}, got 0x7")
    declared = [one.effect({"refcount": count}, ()) for one in SLOT_METHODS if one.name == "dec_ref"]
    assert [(end.status, dict(end.reply)) for ends in declared for end in ends] == [
        ("ok", {"v": count}),
        ("panic", {}),
    ] * 2


@pytest.mark.parametrize(("n_wrong", "words"), [(1, "(1 wrong byte)"), (2, "(2 wrong bytes)")])
def test_wrong_bytes_are_counted(n_wrong: int, words: str) -> None:
    got = np.zeros(4096, np.uint8)
    got[:n_wrong] = 1
    assert of_payload(Pfn(1), np.zeros(4096, np.uint8), got, 0).got == f"0x01 there {words}"


def test_what_an_invariant_finds_is_the_clause_that_it_serves() -> None:
    found = HistoryDifference("invariant", "", "", "", served=("FREE-05", "FREE-03"))
    assert blame([], Look.AT_THE_END, None, found).clause == "FREE-05"


@pytest.mark.parametrize(
    ("difference", "clause"),
    [
        (HistoryDifference("payload", "", "", ""), "FREE-01"),
        (HistoryDifference("counter", "", "", ""), "FREE-06"),
        (HistoryDifference("cache", "", "", ""), "FREE-03"),
        (HistoryDifference("slot", "", "", "", pfn=Pfn(5), field="order"), "FREE-04"),
        (HistoryDifference("slot", "", "", "", pfn=Pfn(5), field="refcount"), "FREE-02"),
    ],
)
def test_what_the_end_alone_shows_is_named_by_what_it_is(difference: HistoryDifference, clause: str) -> None:
    assert blame([], Look.AT_THE_END, None, difference).clause == clause
