"""Proves that a history is linearizable exactly when some order of its calls explains it."""

from __future__ import annotations

from frame_harness.contract.linear import LinearCall, Sequential, linearization


def counter(state: int, call: LinearCall) -> tuple[int, int]:
    """A number that calls add to; they return what it was before."""
    return state + int(call.name), state


RULES = Sequential(counter, lambda state: state)


def explained(*histories: list[LinearCall], end: int) -> bool:
    return linearization(histories, 0, RULES, lambda state: state == end) is not None


def test_overlapping_calls_may_take_effect_in_either_order() -> None:
    first, second = LinearCall(0, "1", 0, 10, 2), LinearCall(1, "2", 5, 15, 0)
    order = linearization([[first], [second]], 0, RULES, lambda state: state == 3)
    assert order == [second, first]


def test_a_call_cannot_take_effect_before_one_that_had_ended() -> None:
    assert not explained([LinearCall(0, "1", 0, 10, 2)], [LinearCall(1, "2", 11, 15, 0)], end=3)


def test_two_calls_that_saw_the_same_number_lost_an_update() -> None:
    assert not explained([LinearCall(0, "1", 0, 10, 0)], [LinearCall(1, "1", 0, 10, 0)], end=2)
    assert not explained([LinearCall(0, "1", 0, 10, 0)], [LinearCall(1, "1", 0, 10, 0)], end=1)


def test_what_is_left_must_be_explained_too() -> None:
    assert explained([LinearCall(0, "1", 0, 1, 0)], [LinearCall(1, "1", 2, 3, 1)], end=2)
    assert not explained([LinearCall(0, "1", 0, 1, 0)], [LinearCall(1, "1", 2, 3, 1)], end=1)


def test_each_cpu_keeps_its_own_order() -> None:
    mine = [LinearCall(0, "1", 0, 9, 1), LinearCall(0, "2", 1, 9, 0)]
    assert not explained(mine, end=3)


def test_long_histories_that_meet_again_and_again_are_searched_quickly() -> None:
    rounds = 200
    histories = [[LinearCall(cpu, "0", t * 10, t * 10 + 9, 0) for t in range(rounds)] for cpu in range(3)]
    assert explained(*histories, end=0)
    assert not explained(*histories, end=1)


def test_nothing_at_all_is_explained() -> None:
    assert explained(end=0) and not explained(end=1)
