"""Checks that share something stay together in their run, and are made before those that share nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.judge.evidence import CheckInRun, RunKey
from frame_harness.session import units as units_module
from frame_harness.session.schedule import Unit
from frame_harness.session.units import make, units_of

DEV, RELEASE = RunKey("q35", "dev"), RunKey("q35", "release")


@dataclass(frozen=True)
class Item:
    """What is looked at of a check that was collected."""

    name: str
    run: RunKey | None = DEV
    path: str = "test_a.py"
    shares: bool = True


@pytest.fixture(autouse=True)
def items_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked about real items is told of the stand-ins; the plug-in goes on with the real ones."""
    known = SimpleNamespace(
        shares_a_fixture=lambda item: item.shares, planned_run=lambda item: item.run,
        is_one_of=lambda item, first: CheckInRun(run=item.run, check=item.name) in first,
    )  # fmt: skip
    monkeypatch.setattr(units_module, "results", known)


def units(*items: Item, first: Sequence[CheckInRun] = ()) -> list[Unit[int]]:
    return units_of(cast("Any", items), first)


def test_checks_that_share_nothing_are_units_of_their_own_behind_the_others() -> None:
    found = units(Item("a", shares=False), Item("b"), Item("c", shares=False), Item("d"))
    assert found == [Unit(DEV, (1, 3)), Unit(DEV, (0,)), Unit(DEV, (2,))]


def test_checks_stay_together_in_one_run_and_one_module_alone() -> None:
    found = units(
        Item("a"), Item("a", run=RELEASE), Item("b", path="test_b.py"), Item("b"), Item("c", run=None)
    )
    assert found == [Unit(DEV, (0, 3)), Unit(RELEASE, (1,)), Unit(DEV, (2,)), Unit(None, (4,))]


def test_checks_that_are_made_first_leave_those_that_they_share_with() -> None:
    first = [CheckInRun(run=DEV, check="b"), CheckInRun(run=DEV, check="d")]
    found = units(Item("a"), Item("b"), Item("c"), Item("d", shares=False), first=first)
    assert found == [Unit(DEV, (0, 2)), Unit(DEV, (1,), comes_first=True), Unit(DEV, (3,), comes_first=True)]
    elsewhere = [CheckInRun(run=RELEASE, check="b")]
    assert units(Item("a"), Item("b"), first=elsewhere) == [Unit(DEV, (0, 1))]


def test_each_check_is_made_with_the_one_behind_it_at_hand() -> None:
    made: list[tuple[str, str | None]] = []

    def protocol(item: Any, nextitem: Any) -> None:
        made.append((item.name, None if nextitem is None else nextitem.name))

    hook = SimpleNamespace(pytest_runtest_protocol=protocol)
    items = [SimpleNamespace(name=name, config=SimpleNamespace(hook=hook)) for name in "abc"]
    begun: list[tuple[int, int]] = []
    make(cast("Any", items), lambda place: begun.append((place, len(made))))
    assert made == [("a", "b"), ("b", "c"), ("c", None)]
    assert begun == [(0, 0), (1, 1), (2, 2)], "each is told before it is made"
