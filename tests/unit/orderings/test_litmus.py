"""Shows that the weak-memory machine knows the classic programs."""

import pytest

from frame_harness.orderings.events import MemoryOrder
from frame_harness.orderings.litmus import FIRST, Litmus, Move

RLX, ACQ, REL, AR = MemoryOrder.MONOTONIC, MemoryOrder.ACQUIRE, MemoryOrder.RELEASE, MemoryOrder.ACQ_REL


def store(place: str, value: int, order: MemoryOrder = RLX) -> Move:
    return Move("store", place, order, value=value)


def load(place: str, register: str, order: MemoryOrder = RLX) -> Move:
    return Move("load", place, order, register=register)


def fence(order: MemoryOrder) -> Move:
    return Move("fence", order=order)


def passes(writer: list[Move], reader: list[Move]) -> bool:
    """Whether flag = 1 can be seen without data = 1."""
    threads = [[store("data", 1), *writer], [*reader, load("data", "d")]]
    return Litmus(threads, {"data": 0, "flag": 0}).reaches(lambda r: r["f"] == 1 and r["d"] == 0)


@pytest.mark.parametrize(
    ("writer", "reader", "stale"),
    [
        ([store("flag", 1, REL)], [load("flag", "f", ACQ)], False),
        ([store("flag", 1)], [load("flag", "f", ACQ)], True),
        ([store("flag", 1, REL)], [load("flag", "f")], True),
        ([fence(REL), store("flag", 1)], [load("flag", "f"), fence(ACQ)], False),
        ([fence(REL), store("flag", 1)], [load("flag", "f")], True),
        ([store("flag", 1), fence(REL)], [load("flag", "f", ACQ)], True),
        ([fence(ACQ), store("flag", 1)], [load("flag", "f"), fence(ACQ)], True),
    ],
)
def test_message_passing_needs_both_ends(writer: list[Move], reader: list[Move], stale: bool) -> None:
    assert passes(writer, reader) is stale


def test_store_buffering_is_seen_even_with_release_and_acquire() -> None:
    threads = [[store("x", 1, REL), load("y", "a", ACQ)], [store("y", 1, REL), load("x", "b", ACQ)]]
    assert Litmus(threads, {"x": 0, "y": 0}).reaches(lambda r: r["a"] == 0 and r["b"] == 0)


def test_a_place_is_never_read_backwards() -> None:
    threads = [[store("x", 1)], [load("x", "a"), load("x", "b")]]
    assert not Litmus(threads, {"x": 0}).reaches(lambda r: r["a"] == 1 and r["b"] == 0)


def test_stores_of_two_threads_may_end_in_either_order() -> None:
    threads = [
        [store("x", 1), store("y", 2)],
        [store("y", 1), store("x", 2)],
        [load("x", "a"), load("x", "c")],
    ]
    outcomes = Litmus(threads, {"x": 0, "y": 0}).outcomes()
    assert {(1, 2), (2, 1)} <= {(dict(o)["a"], dict(o)["c"]) for o in outcomes}


def test_independent_readers_may_disagree_without_seq_cst() -> None:
    threads = [
        [store("x", 1, REL)], [store("y", 1, REL)],
        [load("x", "a", ACQ), load("y", "b", ACQ)], [load("y", "c", ACQ), load("x", "d", ACQ)],
    ]  # fmt: skip
    disagree = Litmus(threads, {"x": 0, "y": 0}).reaches(
        lambda r: (r["a"], r["b"], r["c"], r["d"]) == (1, 0, 1, 0)
    )
    assert disagree


def test_load_buffering_is_beyond_this_machine() -> None:
    threads = [[load("x", "a"), store("y", 1)], [load("y", "b"), store("x", 1)]]
    assert not Litmus(threads, {"x": 0, "y": 0}).reaches(lambda r: r["a"] == 1 and r["b"] == 1)


def test_updates_are_one_step() -> None:
    one = [Move("update", "x", RLX, expect=0, value=1, register="a")]
    two = [Move("update", "x", RLX, expect=0, value=2, register="b")]
    assert Litmus([one, two], {"x": 0}).outcomes() == set()  # both cannot find 0


def test_an_update_carries_an_earlier_release_on() -> None:
    writer = [store("data", 1), store("flag", 1, REL)]
    between = [Move("update", "flag", RLX, expect=1, value=2)]
    reader = [Move("load", "flag", ACQ, expect=2), load("data", "d")]
    threads = [writer, between, reader]
    assert not Litmus(threads, {"data": 0, "flag": 0}).reaches(lambda r: r["d"] == 0)


def test_a_store_in_between_breaks_the_release_sequence() -> None:
    writer = [store("data", 1), store("flag", 1, REL)]
    between = [Move("load", "flag", RLX, expect=1), store("flag", 2)]
    reader = [Move("load", "flag", ACQ, expect=2), load("data", "d")]
    assert Litmus([writer, between, reader], {"data": 0, "flag": 0}).reaches(lambda r: r["d"] == 0)


def test_an_acquire_update_sees_what_a_release_update_published() -> None:
    one = [store("data", 1), Move("update", "count", REL, expect=2, value=1)]
    for order, stale in ((REL, True), (AR, False)):
        two = [Move("update", "count", order, expect=1, value=0), load("data", "d")]
        assert Litmus([one, two], {"data": 0, "count": 2}).reaches(lambda r: r["d"] == 0) is stale


def test_a_witness_tells_which_write_each_read_took_its_value_from() -> None:
    writer, reader = [store("data", 1), store("flag", 1)], [load("flag", "f", ACQ), load("data", "d")]
    litmus = Litmus([writer, reader], {"data": 0, "flag": 0})
    steps = litmus.witness(lambda r: r["f"] == 1 and r["d"] == 0)
    assert steps is not None
    assert [(one.thread, one.step) for one in steps] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    flag, data = steps[2:]
    assert (flag.read, flag.value) == (steps[1].message, 1)
    assert (data.read, data.value) == (FIRST, 0)


def test_there_is_no_witness_of_what_cannot_be() -> None:
    writer = [store("data", 1), store("flag", 1, REL)]
    reader = [load("flag", "f", ACQ), load("data", "d")]
    litmus = Litmus([writer, reader], {"data": 0, "flag": 0})
    assert litmus.witness(lambda r: r["f"] == 1 and r["d"] == 0) is None
