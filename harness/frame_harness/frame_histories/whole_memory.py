"""Judges everything a guest's memory holds by all invariants, moment after moment."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr, Pfn, frames_touched, pfn_to_paddr
from frame_harness.contract.invariant import InvariantReport, InvariantResult, InvariantStatus
from frame_harness.frame_guest.canary import PayloadWatch
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.functions import FUNCTIONS
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.invariants.columns import Past
from frame_harness.frame_metadata.memory_state import MemoryState, pfn_ranges
from frame_harness.guest.checks import ClauseViolated, OtherClauseViolated
from frame_harness.guest.errors import AllocFailed, SubjectPanic


def broken_by(request: str) -> str:
    """The clause of a call that fails in the hands of a well-behaved kernel."""
    return "ALLOC-14" if request.startswith("alloc") else "FREE-03"


@dataclass(frozen=True)
class JudgedState:
    """All invariants on one state; `name` says when, such as `after exhaustion`."""

    name: str
    report: InvariantReport[Past]


@dataclass
class WatchedMemory:
    """One guest with all that was seen of its memory."""

    kernel: Kernel
    islands: Sequence[tuple[Paddr, int]] = ()
    """(base, length) in bytes of what the host itself took out of the memory map."""
    quarantined: list[Paddr] = field(default_factory=list)
    """Addresses of all frames that are in quarantine by now."""
    payload: PayloadWatch | None = None
    moments: list[JudgedState] = field(default_factory=list)
    problems: dict[str, ClauseViolated] = field(default_factory=dict)
    """What a history saw at one step, by the clause that it breaks; the first counts."""
    broken: SubjectPanic | AllocFailed | None = None
    """A call that failed and ended the history; what was seen before it still counts."""

    def state(self) -> MemoryState:
        """The guest's state; what is off limits is not the guest's word alone."""
        kernel = self.kernel
        canary = self.payload.read() if self.payload else None
        state = kernel.state(canary=canary, quarantined=self.quarantined)
        known = pfn_ranges([_frames(base, length) for base, length in (*self.islands, *_taken(kernel))])
        return replace(state, off_limits=np.concatenate([state.off_limits, known]))

    def look(self, name: str) -> InvariantReport[Past]:
        """Judge the state that the guest is in now, against the last one."""
        past: Past | None = self.moments[-1].report.past if self.moments else None
        report = INVARIANTS.check_all(self.state(), past)
        self.moments.append(JudgedState(name, report))
        return report

    def require(self, clause: str) -> None:
        """Hold a clause against everything that was seen.

        Raises:
            ClauseViolated: what the history or an invariant that serves the clause saw, its counterexamples
                as exhibit.
            SubjectPanic, AllocFailed: the call that ended the history, for the one clause that it breaks.
            OtherClauseViolated: such a call left the clause undecided.
            HarnessError: no invariant that serves the clause ever looked at anything.
        """
        if clause in self.problems:
            raise self.problems[clause]
        serving = [name for name, invariant in INVARIANTS.items() if clause in invariant.clauses]
        for moment in self.moments:
            for name in serving:
                if moment.report[name].outcome is InvariantStatus.VIOLATED:
                    raise violated(moment.report[name], moment.name, clause)
        if self.broken is not None:
            if clause == broken_by(self.broken.request):
                raise self.broken
            raise _undecided(self.broken, self.kernel.called) from self.broken
        seen = sum(moment.report[name].evaluated for moment in self.moments for name in serving)
        if not seen:
            raise HarnessError("invariants", clause, expected="frames to look at", actual="none")

    @property
    def violated(self) -> frozenset[str]:
        """Ids of the invariants that any moment violated."""
        return frozenset().union(*(moment.report.violated for moment in self.moments))


def _undecided(end: SubjectPanic | AllocFailed, called: Collection[str]) -> OtherClauseViolated:
    """What keeps other clauses from being judged, once a call has ended their history."""
    panicked = isinstance(end, SubjectPanic)
    return OtherClauseViolated(
        broken_by(end.request), f"`{end.request}` {'panicked' if panicked else 'failed'}",
        expected="no panic" if panicked else "success",
        got=end.message if isinstance(end, SubjectPanic) else end.kind,
        calls=called, panicked=panicked, incidental=True,
    )  # fmt: skip


def violated(result: InvariantResult, moment: str, clause: str) -> ClauseViolated:
    """An invariant's answer as a report shows it: the first counterexample, the rest as exhibit."""
    first = result.violations[0]
    keeper = FUNCTIONS.keeper_of(first.field)
    return ClauseViolated(
        f"{INVARIANTS[result.id].holds} ({result.id}, {moment}, {result.total} of {result.evaluated})",
        expected=first.expected,
        got=first.got,
        frame=None if first.pfn is None else pfn_to_paddr(first.pfn),
        field=first.field,
        function=keeper if keeper in FUNCTIONS.of_clause.get(clause, ()) else "",
        exhibit=result.text,
    )


def _frames(base: Paddr, length: int) -> tuple[Pfn, Pfn]:
    """The frames that some bytes touch."""
    return frames_touched(base, Paddr(base + length))


def _taken(kernel: Kernel) -> list[tuple[Paddr, int]]:
    """Memory that the host sees taken in RAM itself: the kernel image, the slot table."""
    record = kernel.static("WITNESS", "Witness")
    first, end = Paddr(int(record["kernel_first_paddr"])), Paddr(int(record["kernel_end_paddr"]))
    return [(first, end - first), (Paddr(int(record["meta_paddr"])), int(record["meta_bytes"]))]
