"""What two commands did is compared part by part."""

from __future__ import annotations

import pytest

from frame_harness.races.outcome import RaceResult, answer_parts


def test_an_outcome_is_legal_when_one_order_has_all_of_it() -> None:
    orders = RaceResult({"flags": "1", "guard": "1"}), RaceResult({"flags": "2", "guard": "2"})
    assert orders[0].differences(orders) == []
    mixed = RaceResult({"flags": "1", "guard": "2"})
    assert mixed.differences(orders, ()) == mixed.differences(orders, ["guard"]) == []
    assert mixed.differences(orders) == mixed.differences(orders, ["guard", "flags"]) == [("flags", "guard")]
    assert (mixed.shown(("flags", "guard")), mixed.shown(("order",))) == ("1, 2", "nothing")
    alien = RaceResult({"flags": "1", "guard": "3"})
    assert alien.differences(orders, ()) == alien.differences(orders) == [("guard",)]
    assert RaceResult({"flags": "1"}).differences(orders) == [("guard",)], "a part that is not there"
    assert alien.masked("guard", 1) == RaceResult({"flags": "1", "guard": "0x1"})


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ("ok", {"answer 1": "ok"}),
        ("ok v=0x5 some=1", {"answer 1": "ok", "answer 1: v": "0x5", "answer 1: some": "1"}),
        ("fail Err v=0x7", {"answer 1": "fail Err", "answer 1: v": "0x7"}),
        ("panic frame.rs:1 in other words", {"answer 1": "panic"}),
        ("fault #PF rip=0x0", {"answer 1": "fault #PF rip=0x0"}),
    ],
)
def test_an_answer_is_compared_in_parts(answer: str, parts: dict[str, str]) -> None:
    assert answer_parts(1, answer) == parts
