"""Random histories: after each command every slot, list, cache and counter is what the model predicts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from frame_harness.base.text import plural
from frame_harness.frame_histories.attribution import CLAUSES
from frame_harness.frame_histories.campaign import QUICK_HISTORIES, QUICK_SEED, HistoryTally, campaign
from frame_harness.frame_histories.differences import HistoryDifference
from frame_harness.frame_metadata.clauses import CLAUSES as CONTRACT
from frame_harness.guest.checks import ClauseViolated, NotEvaluated, Values
from frame_harness.image.image import Image
from frame_harness.judge.evidence import RunKey
from frame_harness.session.run import Run

pytestmark = [pytest.mark.one_machine, pytest.mark.level("history"), pytest.mark.campaign]

JUDGED = [pytest.param(id_, marks=pytest.mark.clause(id_), id=id_) for id_ in CONTRACT.in_order(CLAUSES)]


class Campaigns:
    """What histories found in each run; each is played once in a process."""

    def __init__(self) -> None:
        self._tallies: dict[RunKey, HistoryTally | Exception] = {}

    def of(self, run: Run) -> HistoryTally:
        if run.key not in self._tallies:
            try:
                self._tallies[run.key] = campaign(
                    run, QUICK_SEED, lambda tally: tally.histories < QUICK_HISTORIES
                )
            except Exception as error:
                # It would break off again, once for each clause.
                self._tallies[run.key] = error
                raise
        tally = self._tallies[run.key]
        if isinstance(tally, Exception):
            raise tally
        return tally


@pytest.fixture(scope="module")
def campaigns() -> Iterator[Campaigns]:
    yield Campaigns()


@pytest.mark.parametrize("clause", JUDGED)
def test_no_history_breaks_the_clause(
    clause: str, frame_run: Run, image: Image, campaigns: Campaigns
) -> None:
    """A history that leaves the model is shortened; what is different names the clause that it breaks."""
    tally = campaigns.of(frame_run)
    found = tally.found.get(clause)
    if found is None and tally.cut_off == tally.histories:
        raise NotEvaluated("no history could be followed to its end: the module keeps frames to itself")
    if found is not None:
        difference = found.failure.difference
        raise ClauseViolated(
            f"history of {plural(len(found.script.commands), 'command')}: {difference.what}",
            expected=difference.expected,
            got=" ".join(difference.got.split()),
            frame=difference.frame,
            field=difference.field,
            function=found.failure.blame.function,
            calls=found.failure.blame.called,
            exhibit=found.script.text,
            slot=difference.slot,
            shown_by=found.script,
            values=_values(difference),
            panicked=difference.kind == "status" and difference.got_status == "panic",
        )


def _values(difference: HistoryDifference) -> Values | None:
    if difference.kind != "slot" or difference.values is None:
        return None
    expected, got = difference.values
    return Values({difference.field: expected}, {difference.field: got})
