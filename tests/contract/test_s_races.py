"""Contract kind S, derived: whatever an operation touches more than once, another CPU gets in between.

Which operations there are comes from the guest's table of commands; what they touch, from watching the
compiled code. Two that touch the same field are interleaved, and what comes of it must be what comes of one
of the two orders, in which the same guest runs them one after the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Unpack

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_races.rules import RULES
from frame_harness.guest.boot_options import BootArguments, BootOptions
from frame_harness.guest.checks import ClauseViolated, OtherClauseViolated
from frame_harness.image.image import Image
from frame_harness.races.explorer import Explorer, PlayKey, Race
from frame_harness.races.stage import staged
from frame_harness.session.run import Run

pytestmark = [pytest.mark.one_machine, pytest.mark.level("interleaving")]

SHOWN = 6
"""Races of one clause that a report lists; each of them stands for itself."""


class Guests:
    """One guest for all clauses, and a fresh one after a race that may have left it out of order."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._ending = contextlib.ExitStack()
        self._explorer: Explorer | None = None
        self._endless: dict[PlayKey, Race] = {}
        self._failure: HarnessError | None = None

    def explorer(self) -> Explorer:
        if self._failure is not None:
            raise self._failure  # it would fail for each clause in the same way
        if self._explorer is None:
            try:
                stage = self._ending.enter_context(staged(self._boot, RULES.take))
                self._explorer = Explorer.of(stage, RULES, self._endless)
            except HarnessError as error:
                self._failure = error
                raise
        return self._explorer

    def end(self) -> None:
        self._explorer = None
        self._ending.close()

    def _boot(self, **words: Unpack[BootArguments]) -> Kernel:
        kernel = self._run.boot(BootOptions(**words))
        # Should it not exit as asked, the run has that on record.
        self._ending.callback(self._run.finish, kernel)
        return kernel


@pytest.fixture(scope="module")
def guests(frame_run: Run) -> Iterator[Guests]:
    guests = Guests(frame_run)
    yield guests
    guests.end()


def races(guests: Guests, clause: str) -> Iterator[Race]:
    """Those that break a clause; the first one, which a report shows, with all accesses.

    Ahead of it may come some that break another one: an earlier guest came to no end there.
    """
    shown = False
    for play in guests.explorer().plays(clause):
        race = guests.explorer().judge(play)
        if race is not None:
            if not shown:
                race = guests.explorer().recorded(race)
            yield race
            if race.remembered and race.clause != clause:
                continue  # it costs no guest, and tells nothing of this clause
            shown = True
            if race.fatal:
                guests.end()
            if race.fatal or race.remembered:
                return


def why_not_recorded(race: Race) -> list[str]:
    return [f"the accesses were not recorded: {race.unordered}"] if race.unordered else []


@pytest.mark.parametrize(
    "clause", [pytest.param(id_, marks=pytest.mark.clause(id_)) for id_ in RULES.clauses]
)
def test_two_operations_at_once_are_one_after_the_other(clause: str, guests: Guests, image: Image) -> None:
    guests.explorer().require_plays(clause)
    found = list(races(guests, clause))
    if not found:
        return
    own = [race for race in found if race.clause == clause]
    first, *others = own or found[:1]
    diagram, told = first.diagram, [race.diagram.what for race in others[: SHOWN - 1]]
    facts: dict[str, Any] = {
        "expected": diagram.expected, "got": diagram.got, "frame": first.frame, "field": diagram.hold.field,
        "exhibit": "\n".join([*why_not_recorded(first), *told]),
        "at": first.at, "function": first.function, "diagram": diagram, "slot": first.slot,
    }  # fmt: skip
    if not own:
        # Two that come to no end break one clause, whichever of their clauses is looked at.
        raise OtherClauseViolated(first.clause, diagram.what, **facts)
    raise ClauseViolated(diagram.what, **facts)
