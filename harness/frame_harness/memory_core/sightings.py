"""Plays cases on a build of some version of a core, and tells whether a known fault shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from frame_harness.base.errors import HarnessError, ImageError
from frame_harness.base.record import Record
from frame_harness.base.text import plural
from frame_harness.base.units import PAGE_SIZE, Paddr
from frame_harness.judge.ways import words_of
from frame_harness.memory_core.campaign import HISTORIES, MOST_HANGS, OFFERS, cases_of, small_site
from frame_harness.memory_core.clauses import EACH_TOLD, LASTING, SUCCEEDS
from frame_harness.memory_core.cores import Cores
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.history import Shown
from frame_harness.memory_core.judging import Key
from frame_harness.memory_core.machines import is_huge
from frame_harness.memory_core.maps import MapRegion, Span, common, without
from frame_harness.memory_core.owning_steps import OwningStep
from frame_harness.memory_core.play import play
from frame_harness.memory_core.state import KINDS
from frame_harness.memory_core.steps import (
    Alloc,
    CaseStep,
    CaseStorm,
    Fill,
    FrameAlloc,
    PageTables,
    Poison,
    PoisonFree,
    counts_work,
    map_of,
    operations_of,
    written,
)
from frame_harness.memory_core.tally import Found, Tally

NEAR: Final = (*((0, longer) for longer in (*range(1, 17), 64, 256)), *((1, longer) for longer in range(17)))
"""So many frames later the free pieces of maps near by begin, and so many later they end."""
SURVEYED, OWNERS_SURVEYED = 120, 30
"""Histories of a survey, and those of owners."""
RACE_TRIES: Final = 6
"""So often a storm is played before a version counts as one that does not show a race."""
_PLACE: Final = re.compile(r".*\.rs:\d+")


class Fault(Record, frozen=True, kw_only=True):
    """What all sightings of a fault have in common in different versions of a core.

    Lines move from one version to the next. So a panic is known by its words, without their numbers; any
    other fault by the cause that the judge names.
    """

    clause: str
    cause: str

    @classmethod
    def of(cls, clause: str, cause: str, got: str) -> Fault:
        """The fault of a violation; `got` is what was seen."""
        return cls(clause=clause, cause=words_of(got) if _PLACE.fullmatch(cause) else cause)


class CaseSighting(Record, frozen=True, kw_only=True):
    """What one case showed on one version."""

    faults: tuple[Fault, ...] = ()
    ended: str = ""
    """Why it was not played to its end; empty where it was."""
    looked_at: tuple[str, ...] = ()
    """The clauses that it was judged by."""
    elsewhere: tuple[tuple[Fault, str], ...] = ()
    """Faults that another case showed, with that case."""

    def of(self, fault: Fault) -> tuple[Shown, str]:
        """Whether a fault showed, with the reason where that cannot be said."""
        if fault in self.faults or self.case_of(fault):
            return Shown.BAD, ""
        if self.ended:
            return Shown.UNKNOWN, self.ended
        if SUCCEEDS.get(fault.clause, fault.clause) not in self.looked_at:
            return Shown.UNKNOWN, f"its case is not judged by {fault.clause} there"
        others = [one for one in self.faults if one.clause == fault.clause]
        if others and fault.clause not in EACH_TOLD:
            return Shown.UNKNOWN, f"its case breaks {fault.clause} in another way: {others[0].cause}"
        return Shown.GOOD, ""

    def case_of(self, fault: Fault) -> str:
        """The other case that showed a fault; empty where the case itself did, or none."""
        return next((case for one, case in self.elsewhere if one == fault), "")


class Sightings(Record, frozen=True, kw_only=True):
    """What the cases showed on one build, in the order in which they were asked for."""

    seen: tuple[CaseSighting, ...]
    survey: tuple[tuple[Fault, str], ...] | None = None
    """The faults of a survey, each with a case; None where none was asked for."""
    cut: str = ""
    """Why the survey ended before all was played; empty where it did not."""


CaseQuestion = tuple[Sequence[CaseStep], Collection[Fault]]
"""A case, with the faults that it is played for."""


@dataclass(frozen=True)
class PlayedCase:
    """Everything that a case shows on a core."""

    found: Mapping[Key, Found]
    last: Key | None
    """The fault behind which nothing could be judged; None where the case came to its end."""


def all_of(case: Sequence[CaseStep], core: CoreGuest, *, anew: bool = True) -> PlayedCase:
    """Everything that one case shows, not only what comes first.

    Args:
        anew: for each fault in a guest that has just booted.
    """
    found: dict[Key, Found] = {}
    while (failure := play(core, case, found)) is not None and failure.key not in found:
        found[failure.key] = Found(failure, fresh=None)
        if failure.key[0] not in LASTING:
            core.renew()
            return PlayedCase(found, failure.key)
        if anew:
            core.renew()
    return PlayedCase(found, None)


def is_race(case: Sequence[CaseStep]) -> bool:
    """Whether several CPUs work at once in a case: what they break may not show each time."""
    return any(isinstance(step, CaseStorm) and step.cpus > 1 for step in case)


def sightings(cores: Cores, questions: Sequence[CaseQuestion]) -> Iterator[CaseSighting]:
    """Play each case in a guest that has just booted.

    Raises:
        ImageError: this version keeps its state in another way: no case can be judged.
    """
    offers = {what: cores.large.offers(what) for what in OFFERS} if questions else {}
    for case, faults in questions:
        core = cores.of_case(case)
        if lacking := _lacking(case, offers):
            yield CaseSighting(ended=f"it knows no {lacking}")
            continue
        try:
            yield _sighting(core, case, faults)
        except ImageError:
            raise
        except HarnessError as error:
            core.renew()
            yield CaseSighting(ended=f"it cannot be judged: {error.summary}")


def _sighting(core: CoreGuest, case: Sequence[CaseStep], faults: Collection[Fault]) -> CaseSighting:
    """Play a case; where it does not show a fault, the same on maps near by.

    Where a core puts its own memory differs from one version to the next, and a case is as small as the
    newest version allows: a few frames decide whether a block is misaligned, or a pool too small. What does
    not show on a map near by says nothing: the newest version may not show it there, either.
    """
    core.renew()
    seen = _played(core, case)
    missing = [fault for fault in faults if seen.of(fault)[0] is not Shown.BAD]
    elsewhere: list[tuple[Fault, str]] = []
    for other in near(case, core.available()) if missing else ():
        shown = [one for one in _played(core, other).faults if one in missing]
        elsewhere += [(one, written(other)) for one in shown]
        missing = [one for one in missing if one not in shown]
        if not missing:
            break
    return msgspec.structs.replace(seen, elsewhere=tuple(elsewhere))


def survey(core: CoreGuest, seed: int, say: Callable[[str], None]) -> tuple[dict[Fault, str], str]:
    """Play a good part of a campaign on a machine with little memory.

    No case is shortened: it only tells that a version has a fault. Races are not looked for.

    Returns:
        The faults, each with a case, and why it ended early; empty where it did not.
    """
    tally, spoilt = Tally(planned=HISTORIES), Counter[str]()
    say("survey")
    for site, name, steps in cases_of([small_site(core)], seed, tally, spoilt, SURVEYED, OWNERS_SURVEYED):
        while (failure := play(site.core, steps, tally.found)) is not None:
            spoilt[name] += not operations_of(failure.steps)
            tally.hangs += failure.hung
            if failure.key in tally.found:
                break
            tally.found[failure.key] = Found(failure, fresh=None)
            if failure.key[0] not in LASTING:
                core.renew()
        if tally.hangs >= MOST_HANGS:
            tally.cut = f"its survey ended after {plural(tally.hangs, 'hang')}"
            break
    seen = ((key, one.failure) for key, one in tally.found.items())
    found = {Fault.of(*key, failure.violation.got): written(failure.steps) for key, failure in seen}
    return found, tally.cut


def near(case: Sequence[CaseStep], ram: Sequence[Span]) -> Iterator[tuple[CaseStep, ...]]:
    """The same case with other ends of free pieces; what takes long is not played again.

    Args:
        ram: what is there for a core.
    """
    if any(isinstance(step, CaseStorm | PageTables) for step in case) or counts_work(case) or is_huge(case):
        return
    taken = [(Paddr(one.base), Paddr(one.end)) for one in map_of(case).regions]
    for later, longer in NEAR:
        moved = {
            step: other
            for step in case
            if isinstance(step, MapRegion)
            and step.kind.usable
            and (other := _moved(step, later * PAGE_SIZE, longer * PAGE_SIZE)).size > 0
            and _is_free((Paddr(step.end), Paddr(other.end)), taken, ram)
        }
        if moved:
            yield tuple(moved.get(step, step) if isinstance(step, MapRegion) else step for step in case)


def _moved(region: MapRegion, later: int, longer: int) -> MapRegion:
    return replace(region, base=region.base + later, size=region.size - later + longer)


def _is_free(gap: Span, taken: Sequence[Span], ram: Sequence[Span]) -> bool:
    return gap[0] == gap[1] or (not without([gap], ram) and not common([gap], taken))


def _played(core: CoreGuest, case: Sequence[CaseStep]) -> CaseSighting:
    core.looked_at = set()
    for _ in range(RACE_TRIES if is_race(case) else 1):
        played = all_of(case, core, anew=False)
        if played.last is not None:
            break
        if is_race(case):
            core.renew()
    faults = [Fault.of(*key, one.failure.violation.got) for key, one in played.found.items()]
    ended = ""
    if core.refused:
        ended = f"it refuses the map: {core.refused}"
    elif played.last is not None:
        ended = f"its case ends at another fault, of {faults[-1].clause}"
        ended += f": {faults[-1].cause}" if faults[-1].cause else ""
    elif core.steps_done < len(operations_of(case)):
        ended = "its case does not come to its end there"
    return CaseSighting(faults=tuple(faults), ended=ended, looked_at=tuple(sorted(core.looked_at)))


def _lacking(case: Sequence[CaseStep], offers: Mapping[str, bool]) -> str:
    """What a case asks for and a version does not know, in words; empty where it knows all."""
    memory = map_of(case)
    needs = {
        "protected": ("protected ranges", bool(memory.protected)),
        "hhdm": ("memory that it cannot reach", memory.hhdm_end is not None),
        "kinds": ("kinds of blocks", any(_kind_of(step) != KINDS[0] for step in case)),
        "poison": ("poison", any(isinstance(step, Poison | PoisonFree) for step in case)),
        "slots": ("slots of today", any(isinstance(step, FrameAlloc | PoisonFree) for step in case)),
        "ownership": ("owners of blocks", any(isinstance(step, OwningStep) for step in case)),
        "tables": ("frames for page tables", any(isinstance(step, PageTables) for step in case)),
    }
    return next((words for what, (words, needed) in needs.items() if needed and not offers[what]), "")


def _kind_of(step: CaseStep) -> str:
    return step.kind if isinstance(step, Alloc | Fill) else KINDS[0]
