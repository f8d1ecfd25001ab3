"""Proves that no clause is held by what a campaign did not play, or by a case that did not reach it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, cast

import pytest

from frame_harness.base.units import Paddr
from frame_harness.image.image import Image
from frame_harness.judge.evidence import Outcome, RunKey
from frame_harness.machine.definition import load_machine
from frame_harness.memory_core import campaign as campaigns
from frame_harness.memory_core import worker
from frame_harness.memory_core.catalogue import MIB, catalogue
from frame_harness.memory_core.failure import Failure
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.judging import CoreViolation
from frame_harness.memory_core.maps import MapRegion, Span
from frame_harness.memory_core.sightings import PlayedCase
from frame_harness.memory_core.state import LeftOut
from frame_harness.memory_core.steps import CaseStep, CaseStorm, map_of, parsed
from frame_harness.memory_core.tally import Found, Tally
from frame_harness.memory_core.worker import Judged, Task, judge_build
from frame_harness.session.run import Ledger

KEY = RunKey("microvm", "dev")
HANGS = CoreViolation(
    "CORE-09", "`core.alloc 0 unmovable any`", "an answer", "none", None, "does not come back"
)


class NoGuest:
    """Has RAM and knows nothing; no case comes to it, since `play` is another one."""

    def __init__(self) -> None:
        self.refused = ""
        self.looked_at = {"CORE-01", "CORE-08", "CORE-09"}

    def available(self) -> list[Span]:
        return [(Paddr(4 * MIB), Paddr(64 * MIB))]

    def offers(self, _: str) -> bool:
        return False

    def missing(self, _: object) -> list[Span]:
        return []

    def renew(self) -> None:
        pass


def failure(steps: tuple[CaseStep, ...], number: int) -> Failure:
    cause = f"{HANGS.cause} in function {number}"
    return Failure(steps, CoreViolation(HANGS.clause, HANGS.what, "", "", None, cause), "alloc", hung=True)


def play(monkeypatch: pytest.MonkeyPatch, hangs: type) -> Tally:
    """A campaign on a core that hangs in some cases, each time at another place."""
    numbers = iter(range(1000))

    def play(_: object, steps: tuple[CaseStep, ...], known: Any) -> Failure | None:
        at_fault = any(isinstance(step, hangs) for step in steps) and len(known) < campaigns.MOST_HANGS
        return failure(steps, next(numbers)) if at_fault else None

    monkeypatch.setattr(campaigns, "play", play)
    core = cast("CoreGuest", NoGuest())
    return campaigns.campaign([campaigns.Site(core, catalogue)], 1, histories=3, shortens=False)


@pytest.mark.parametrize("hangs", [MapRegion, CaseStorm], ids=["maps", "storms"])
def test_campaign_that_ends_at_hangs_says_so(hangs: type, monkeypatch: pytest.MonkeyPatch) -> None:
    tally = play(monkeypatch, hangs)
    assert (tally.hangs, tally.cut) == (6, "the campaign ended after 6 hangs")


def test_campaign_that_is_played_to_its_end_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = play(monkeypatch, Image)  # no step is one
    assert (tally.cut, tally.histories, tally.storms > 0) == ("", 3, True)


class NoRun:
    """Boots nothing."""

    def __init__(self, *_: object) -> None:
        self.boot = self.finish_any = self.finish_all = lambda: None
        self.invariants: dict[str, int] = {}

    def ledger(self) -> Ledger:
        return Ledger(run=KEY, image_sha256="", build_id="", subject_sha256="")


class NoCores:
    """One core for every case."""

    def __init__(self, core: NoGuest) -> None:
        self.small = self.large = self.counting = self.huge = core

    unjudged = (LeftOut("CORE-18", "COUNT", "COUNT is not judged: this version has no such counter"),)

    @property
    def looked_at(self) -> set[str]:
        return self.small.looked_at

    def of_case(self, _: object) -> NoGuest:
        return self.small


def judged(
    monkeypatch: pytest.MonkeyPatch, core: Any, cases: Mapping[str, tuple[str, ...]] = MappingProxyType({})
) -> Judged:
    @contextmanager
    def cores(*_: object) -> Iterator[NoCores]:
        core.guest = None
        yield NoCores(core)

    for name, fake in (("Run", NoRun), ("Cores", cores)):
        monkeypatch.setattr(worker, name, fake)
    for name in ("_selftest", "_layout", "require_counting"):
        monkeypatch.setattr(worker, name, lambda _: None)
    monkeypatch.setattr(worker, "_lacks", lambda *_: {})
    wanted = tuple(cases.values())
    task = Task(KEY, cast("Image", None), load_machine(), "", tuple(map(parsed, cases)), wanted=wanted)
    return judge_build(task, lambda _: None)


def outcomes(found: Judged) -> dict[str, Outcome]:
    return {result.clauses[0]: result.outcome for result in found.results}


def test_no_clause_is_held_by_a_campaign_that_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object, **__: object) -> Tally:
        found = failure((), 1)
        return Tally(found={found.key: Found(found, None)}, maps=6, cut="the campaign ended after 6 hangs")

    monkeypatch.setattr(worker, "campaign", cut)
    monkeypatch.setattr("frame_harness.memory_core.checks._line_of", lambda *_: "")
    found = judged(monkeypatch, NoGuest())
    assert set(outcomes(found).values()) == {Outcome.NOT_EVALUATED, Outcome.VIOLATED, Outcome.SKIPPED}
    [merged] = [one for one in found.results if one.clauses == ("CORE-08",)]
    assert (merged.outcome, merged.message) == (Outcome.NOT_EVALUATED, "the campaign ended after 6 hangs")


def test_a_campaign_tells_what_it_did_not_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "campaign", lambda *_, **__: Tally(left_out="no room"))
    told = [(one.check, one.outcome, one.message) for one in judged(monkeypatch, NoGuest()).results]
    assert told[-2:] == [
        ("cases[maps of tens of GiB]", Outcome.SKIPPED, "no room"),
        ("cases[COUNT]", Outcome.SKIPPED, NoCores.unjudged[0].why),
    ]


SMALL, LARGE = "0x400000..0x401000 free", "0x400000..0x4000000 free"
LISTED = "0x400000..0x4000000 free; b1 = alloc 0 unmovable any; free b1"
TOO_SMALL = "the core refused the map: no room"
ELSEWHERE = "a case that broke it does not come to it any more"


def seen_of(
    cases: Mapping[str, tuple[str, ...]], reached: set[str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, tuple[Outcome, str]]:
    """What is said of clauses by cases of which a core without faults refuses those on small maps.

    Args:
        reached: the clauses that any other one comes to.
    """

    def all_of(case: Sequence[CaseStep], core: NoGuest) -> PlayedCase:
        core.refused = "no room" if map_of(case).top < Paddr(8 * MIB) else ""
        core.looked_at |= {"CORE-01"} if core.refused else reached
        return PlayedCase({}, None)

    monkeypatch.setattr(worker, "all_of", all_of)
    core = NoGuest()
    core.looked_at = set()
    found = judged(monkeypatch, core, cases)
    return {result.clauses[0]: (result.outcome, result.message) for result in found.results}


def test_a_case_among_others_that_the_core_refuses_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {SMALL: ("CORE-04",), LARGE: ("CORE-05",)}
    assert seen_of(cases, {"CORE-01", "CORE-04", "CORE-05"}, monkeypatch) == {
        "CORE-01": (Outcome.PASSED, ""),
        "CORE-04": (Outcome.NOT_EVALUATED, TOO_SMALL),
        "CORE-05": (Outcome.PASSED, ""),
    }


def test_nothing_is_judged_where_every_case_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {SMALL: ("CORE-04",), "0x400000..0x402000 free": ("CORE-05",)}
    assert set(seen_of(cases, {"CORE-01"}, monkeypatch).values()) == {(Outcome.NOT_EVALUATED, TOO_SMALL)}


def test_a_case_that_does_not_come_to_its_clause_any_more_does_not_hold_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = seen_of({LISTED: ("CORE-09", "CORE-15")}, {"CORE-09"}, monkeypatch)
    assert seen == {"CORE-09": (Outcome.PASSED, ""), "CORE-15": (Outcome.NOT_EVALUATED, ELSEWHERE)}


def test_requests_that_failed_and_succeed_now_hold_what_they_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_of({LISTED: ("CORE-10", "CORE-11")}, {"CORE-09"}, monkeypatch)
    assert set(seen) == {"CORE-09", "CORE-10", "CORE-11"}
    assert set(seen.values()) == {(Outcome.PASSED, "")}


def test_a_case_that_nobody_played_before_speaks_of_what_it_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen_of({LARGE: ()}, {"CORE-01"}, monkeypatch) == {"CORE-01": (Outcome.PASSED, "")}


def test_as_many_histories_are_played_as_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "HISTORIES", 3)
    played = Tally()
    site = campaigns.Site(cast("CoreGuest", NoGuest()), catalogue)
    cases = campaigns.cases_of([site], 1, played, Counter(), most=7)
    assert sum(1 for _ in cases) >= played.histories == 7
