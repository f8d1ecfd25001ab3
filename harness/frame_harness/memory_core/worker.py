"""Judges one build of a memory core, in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from frame_harness.base.commands import Say
from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.record import Record
from frame_harness.console import ktap
from frame_harness.guest.booted import BootedGuest
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckResult, LayoutEvidence, RunKey, SelftestEvidence, Witness
from frame_harness.machine.definition import Machine
from frame_harness.memory_core.campaign import (
    campaign,
    huge_site,
    large_site,
    small_site,
    work_site,
)
from frame_harness.memory_core.checks import left_out, results_of
from frame_harness.memory_core.clauses import CORE_CLAUSES, NEEDS, OWNING, SUCCEEDS
from frame_harness.memory_core.cores import Cores
from frame_harness.memory_core.design import TREE, Design
from frame_harness.memory_core.guest import LOW_MEMORY, CoreGuest
from frame_harness.memory_core.judging import Key
from frame_harness.memory_core.leavings import CaseKeeper
from frame_harness.memory_core.maps import merged
from frame_harness.memory_core.owning_steps import OwningStep
from frame_harness.memory_core.sightings import all_of
from frame_harness.memory_core.state import LeftOut
from frame_harness.memory_core.steps import CaseStep, map_of
from frame_harness.memory_core.tally import Found, Tally
from frame_harness.memory_core.work import require_counting
from frame_harness.session.run import Ledger, Run, unhandled

SEED = 1
TOLD_EVERY = 50
"""Cases between two words about how far it is."""
MOST_FOLDERS = 1000
"""Numbers of folders that a task has in an archive."""


class Judged(Record, frozen=True, kw_only=True):
    """What one process saw of one build."""

    ledger: Ledger
    results: tuple[CheckResult, ...]
    notes: tuple[str, ...] = ()
    """What could not be kept of cases that show faults."""


@dataclass(frozen=True)
class Task:
    """One build on one machine, with what to play on it."""

    key: RunKey
    image: Image
    machine: Machine
    again: str
    """The command that plays a case again, before the case."""
    cases: tuple[tuple[CaseStep, ...], ...] = ()
    """The only ones to play; none for a whole campaign."""
    seed: int = SEED
    without_ownership: str = ""
    """What this version lacks for the ownership of blocks; empty where that is judged."""
    design: Design = TREE
    """Of the core that is in the image."""
    archive: Path | None = None
    """The folder that what cases with faults leave goes to; None where nothing is kept."""
    number: int = 0
    """Of this task among others that use the same folder."""
    known: frozenset[Key] = frozenset()
    """Faults that are not looked for."""
    until_first: bool = False
    """End with the first fault that is not known, by whatever case shows it."""
    wanted: tuple[tuple[str, ...], ...] = ()
    """By case the clauses that it has to come to; none at all for cases that nobody played before."""


def judge_build(task: Task, say: Say) -> Judged:
    """Play everything, return what was seen.

    Raises:
        HarnessError: no guest comes up, or the harness broke down.
    """
    began = time.monotonic()
    run = Run(task.key, task.image, task.machine)
    try:
        with Cores(run.boot, run.finish_any, task.design) as cores:
            run.selftest = _selftest(cores.small.guest)
            run.layout = _layout(cores.small)
            lacks = _lacks(cores.small, task.without_ownership)
            played = _play(task, cores, say)
            run.invariants["state of the core"] = played.cases
            looked_at = cores.looked_at
    finally:
        run.finish_all()
    took = time.monotonic() - began
    unseen = played.unseen
    if not task.cases:
        unseen = {**dict.fromkeys(CORE_CLAUSES.keys() - looked_at, "no case came so far"), **unseen}
    results = results_of(
        task.key, played.found, task.image, task.design, task.again, took, lacks, looked_at, unseen
    )
    results += [left_out(task.key, one) for one in played.left_out]
    notes = _kept(task, played.found, results)
    # A guest that a core brought down is a finding by itself.
    return Judged(ledger=unhandled(run.ledger()), results=tuple(results), notes=notes)


def _kept(task: Task, found: Mapping[Key, Found], results: Sequence[CheckResult]) -> tuple[str, ...]:
    """Keep what cases with faults leave; return what could not be kept. Nothing is judged by its guests."""
    if task.archive is None or not found:
        return ()
    run, keeper = (
        Run(task.key, task.image, task.machine),
        CaseKeeper(task.archive, 1 + MOST_FOLDERS * task.number),
    )
    try:
        try:
            with Cores(run.boot, run.finish_any, task.design) as cores:
                keeper.keep(found, results, cores)
        finally:
            run.finish_all()
    except Exception as error:
        said = error.summary if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
        keeper.notes.append(f"{task.key}: guests for playing cases again: {said}")
    return tuple(keeper.notes)


@dataclass(frozen=True)
class _Played:
    """What was found, in how many cases."""

    found: dict[Key, Found]
    cases: int
    unseen: Mapping[str, str] = field(default_factory=dict)
    """By clause why it is not judged, though some case may have looked at it."""
    left_out: tuple[LeftOut, ...] = ()
    """What a whole campaign did not judge."""


def _play(task: Task, cores: Cores, say: Say) -> _Played:
    if task.cases:
        return _play_alone(task, cores)
    require_counting(cores.counting)
    told = 0

    def tell(tally: Tally) -> bool:
        nonlocal told
        if tally.maps + tally.histories >= told + TOLD_EVERY:
            told = tally.maps + tally.histories
            say(tally.words)
        return not (task.until_first and tally.found)

    sites = [small_site(cores.small), large_site(cores.large)]
    tally = campaign(
        sites, task.seed, tell, work_site(cores.counting), huge_site(cores.huge), known=task.known,
        shortens=not task.until_first,
    )  # fmt: skip
    # What held so far may be broken by what was not played.
    unseen = dict.fromkeys(CORE_CLAUSES, tally.cut) if tally.cut else {}
    left = (LeftOut("CORE-01", "maps of tens of GiB", tally.left_out),) if tally.left_out else ()
    return _Played(tally.found, tally.maps + tally.histories, unseen, (*left, *cores.unjudged))


def _play_alone(task: Task, cores: Cores) -> _Played:
    """Everything that some cases show; of two that show the same fault the first."""
    found: dict[Key, Found] = {}
    unseen: dict[str, str] = {}
    refusals: list[str] = []
    for case, wanted in zip_longest(task.cases, task.wanted, fillvalue=()):
        core = cores.of_case(case)
        require_room(case, core)
        require_owners(case, task.without_ownership)
        earlier, core.looked_at = core.looked_at, set()
        found = {**all_of(case, core).found, **found}
        if core.refused:
            refusals.append(f"the core refused the map: {core.refused}")
            unseen |= dict.fromkeys(wanted, refusals[-1])
            core.looked_at = set()
        core.looked_at |= {one for one in wanted if SUCCEEDS.get(one) in core.looked_at}
        missed = [one for one in wanted if one not in core.looked_at]
        unseen = {**dict.fromkeys(missed, "a case that broke it does not come to it any more"), **unseen}
        core.looked_at |= earlier
    if len(refusals) == len(task.cases):
        unseen = dict.fromkeys(CORE_CLAUSES, refusals[-1])
    return _Played(found, len(task.cases), unseen)


def require_room(case: tuple[CaseStep, ...], core: CoreGuest) -> None:
    """Refuse a map whose memory is not there, or is the shim's: a core that used it would break anything.

    Raises:
        UsageError: says what there is.
    """
    if stray := core.missing(map_of(case)):
        there = merged([*core.available(), LOW_MEMORY])
        spans = ", ".join(f"{first:#x}..{end:#x}" for first, end in there)
        raise UsageError(
            "case", f"{stray[0][0]:#x}..{stray[0][1]:#x} free", expected=f"inside of {spans}",
            actual="outside", next_step="change the regions of the case",
        )  # fmt: skip


def require_owners(case: tuple[CaseStep, ...], lacking: str) -> None:
    """Refuse a case with owners of blocks on a core that does not know them.

    Raises:
        UsageError: says what it lacks.
    """
    for step in case:
        if lacking and isinstance(step, OwningStep):
            raise UsageError(
                "case", str(step), expected="a core that knows the owners of its blocks",
                actual=f"one without {lacking}", next_step="leave the step out",
            )  # fmt: skip


def _selftest(guest: BootedGuest) -> SelftestEvidence:
    result = ktap.parse(guest.call("selftest").data)
    if result.problems:
        raise HarnessError("selftest", detail="; ".join(result.problems))
    failed = len(result.failures)
    return SelftestEvidence(plan=result.plan or 0, passed=len(result.ran) - failed, failed=failed)


def _layout(core: CoreGuest) -> LayoutEvidence:
    """Hold what debug information says against what the compiler says in the guest."""
    said = core.guest.call("core.layout")
    known = core.guest.image.dtype(said.text("of"))
    members = [name for name in said.outcome.fields if name not in ("of", "bytes")]
    fields = dict(known.fields or {})
    read = {"bytes": known.itemsize} | {name: int(fields[name][1]) for name in members}
    differs = [
        f"{name}: {said[name]} in the guest, {value} in DWARF"
        for name, value in read.items()
        if said[name] != value
    ]
    guest_bytes = Witness.DIFFERS if differs else Witness.EQUAL
    return LayoutEvidence(dwarf=Witness.UNPROMISED, guest_bytes=guest_bytes, text="; ".join(differs))


def _lacks(core: CoreGuest, ownership: str) -> dict[str, str]:
    """By clause the name that this version of the core lacks for it."""
    needed = {**NEEDS, **dict.fromkeys(OWNING, ("ownership", ownership))}
    lacks = {clause: name for clause, (what, name) in needed.items() if not core.offers(what)}
    if "generation" not in (core.slots().dtype.names or ()):
        lacks.setdefault("CORE-35", "MetaSlot::generation")
    return lacks
