"""Checks are dealt run by run, and a run is prepared once."""

from __future__ import annotations

from frame_harness.judge.evidence import LayoutEvidence, RunKey, SelftestEvidence, Witness
from frame_harness.session.deck import Deck, Hand, Unit
from frame_harness.session.preflight import Facts

DEV, RELEASE = RunKey("microvm", "dev"), RunKey("microvm", "release")
FACTS = Facts(
    layout=LayoutEvidence(dwarf=Witness.EQUAL, guest_bytes=Witness.EQUAL),
    selftest=SelftestEvidence(plan=1, passed=1, failed=0),
    invariants={"I": 3},
    violated=(),
)


def dealt(deck: Deck[int], *workers: int) -> list[tuple[int, ...] | None]:
    hands = [deck.hand_for(worker) for worker in workers]
    return [hand.checks if hand else None for hand in hands]


def test_each_worker_begins_a_run_of_its_own_the_longest_first() -> None:
    deck = Deck([Unit(DEV, (0,)), Unit(RELEASE, (1,)), Unit(RELEASE, (2,))])
    assert dealt(deck, 0, 1, 0) == [(1,), (0,), (2,)]
    assert deck.is_empty


def test_nobody_takes_from_a_run_that_another_worker_is_preparing() -> None:
    deck = Deck([Unit(DEV, (0,)), Unit(DEV, (1,))])
    assert dealt(deck, 0, 1, 0) == [(0,), None, (1,)]


def test_a_prepared_run_is_shared_with_what_was_taken_down_of_it() -> None:
    deck = Deck([Unit(DEV, (0,)), Unit(DEV, (1,)), Unit(DEV, (2,))])
    assert deck.hand_for(0) == Hand(DEV, (0,))
    deck.prepared(DEV, FACTS)
    assert deck.hand_for(1) == Hand(DEV, (1,), FACTS)
    assert deck.hand_for(0) == Hand(DEV, (2,)), "who prepared it has the facts"


def test_tests_without_a_guest_wait_for_no_preflight() -> None:
    deck = Deck[int]([Unit(None, (0,)), Unit(None, (1,))])
    assert dealt(deck, 0, 1) == [(0,), (1,)]


def test_checks_that_stay_together_are_one_hand() -> None:
    deck = Deck([Unit(DEV, (0, 1, 2)), Unit(DEV, (3,))])
    assert dealt(deck, 0, 0) == [(0, 1, 2), (3,)]


def test_what_a_dead_worker_did_not_begin_is_dealt_again_and_its_run_prepared_again() -> None:
    deck = Deck([Unit(DEV, (0, 1)), Unit(DEV, (2,))])
    deck.hand_for(0)
    deck.prepared(DEV, FACTS)
    deck.lost(0, Hand(DEV, (1,)))
    assert deck.hand_for(1) == Hand(DEV, (1,)), "without facts: they died with the guests of that worker"
    assert dealt(deck, 1) == [(2,)]


def test_a_dead_worker_with_nothing_left_gives_nothing_back() -> None:
    deck = Deck([Unit(DEV, (0,))])
    deck.hand_for(0)
    deck.lost(0, Hand(DEV, ()))
    assert deck.is_empty


def test_what_comes_first_is_dealt_before_the_rest_of_any_run() -> None:
    deck = Deck(
        [Unit(DEV, (0,)), Unit(DEV, (1,)), Unit(RELEASE, (2,)), Unit(RELEASE, (3,), comes_first=True)]
    )
    assert dealt(deck, 0, 1, 0) == [(3,), (0,), (2,)]


def test_who_waits_for_what_comes_first_makes_something_else_meanwhile() -> None:
    first = [Unit(DEV, (0,), comes_first=True), Unit(DEV, (1,), comes_first=True)]
    deck = Deck([*first, Unit(RELEASE, (2,))])
    assert dealt(deck, 0, 1) == [(0,), (2,)]
