"""Keeps what the cases of a campaign leave that show a fault: each is played once more, in guests of its own.

Nothing of this has a say in the verdict: it comes behind everything that is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from frame_harness.archive.memory import Life
from frame_harness.archive.records import FailureRecord, GuestRecord
from frame_harness.archive.writing import FailureWriter
from frame_harness.base.errors import HarnessError
from frame_harness.base.units import frames_touched, pfn_to_paddr
from frame_harness.frame_guest.memory_view import with_all_fields
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.frame_states import free_frames_by_order
from frame_harness.frame_metadata.memory_state import (
    N_MIGRATETYPES,
    MemoryState,
    PfnRanges,
    Zone,
    cached_frames,
    pfn_ranges,
)
from frame_harness.gathering.frames import payload_of
from frame_harness.gathering.replay import PlayedAgain
from frame_harness.gathering.taken import Taken, take
from frame_harness.gathering.writing import write_guest
from frame_harness.guest.booted import BootedGuest
from frame_harness.judge.evidence import CheckResult
from frame_harness.memory_core.cores import Cores
from frame_harness.memory_core.failure import Failure
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.judging import Key
from frame_harness.memory_core.machines import is_huge
from frame_harness.memory_core.maps import MemoryMap, Span, merged, rounded_out
from frame_harness.memory_core.play import play
from frame_harness.memory_core.state import ZONES, CoreState, Segment, spans_of
from frame_harness.memory_core.steps import CaseStep, CaseStorm, counts_work, map_of, operations_of, written
from frame_harness.memory_core.tally import Found

MOST: Final = 40
"""Cases of one build that are played once more."""
MOST_SLOTS: Final = 1 << 22
"""Of a table that is kept: that of 16 GiB."""
MOST_STEPS: Final = 24
"""Operations of a case whose memory in between is looked at."""
MAP: Final = "map.txt"


@dataclass
class CaseKeeper:
    """Writes a folder for each fault of one build."""

    archive: Path
    first: int
    """Number of its first folder, unlike those of other builds."""
    notes: list[str] = field(default_factory=list)
    """What could not be kept, beside the notes in the folders."""

    def keep(self, found: Mapping[Key, Found], results: Iterable[CheckResult], cores: Cores) -> None:
        """Play each case once more and write what its guest leaves.

        Args:
            cores: guests that no run counts.
        """
        of_key = {(result.broken[0], result.cause): result for result in results if result.broken}
        known = tuple(found)
        for number, (key, fault) in enumerate(found.items()):
            result = of_key.get(key)
            if result is None:
                continue  # it was not selected
            try:
                self._keep(self.first + number, fault.failure, result, cores, known, play_it=number < MOST)
            except Exception as error:
                said = (
                    error.summary if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
                )
                self.notes.append(f"{result.check}: what its guest left is not kept: {said}")

    def _keep(
        self, number: int, failure: Failure, result: CheckResult, cores: Cores, known: Sequence[Key], *,
        play_it: bool,
    ) -> None:  # fmt: skip
        name = result.check.replace("[", "-").replace("]", "")
        writer = FailureWriter(self.archive, number, [name, result.run.machine, result.run.profile])
        lines = [*map_of(failure.steps).lines, "", "case", written(failure.steps)]
        (writer.folder / MAP).write_text("\n".join(lines) + "\n", encoding="utf-8")
        guests: tuple[GuestRecord, ...] = ()
        notes = _why_not(failure) if play_it else f"only the first {MOST} cases are played again"
        if not notes:
            others = tuple(key for key in known if key != failure.key)
            guests, notes = _Case(_core_for(failure.steps, cores), failure, others).record(
                self.archive, writer.folder
            )
        kept = FailureRecord(
            run=result.run, check=result.check, case=result.case, guests=guests,
            notes=(notes,) if notes else (),
        )  # fmt: skip
        writer.finish(kept)


def _why_not(failure: Failure) -> str:
    if failure.hung:
        return "no memory, no registers: to play a case that hangs takes all of its time again"
    if is_huge(failure.steps):
        return "no memory, no registers: a start on a map of tens of GiB takes seconds"
    return ""


def _core_for(steps: Sequence[CaseStep], cores: Cores) -> CoreGuest:
    """The smallest guest that has the memory of a map."""
    if counts_work(steps):
        return cores.counting
    return cores.small if not cores.small.missing(map_of(steps)) else cores.large


@dataclass
class _Case:
    """A case that is played once more."""

    core: CoreGuest
    failure: Failure
    known: tuple[Key, ...]

    def record(self, archive: Path, folder: Path) -> tuple[tuple[GuestRecord, ...], str]:
        """Play it, write its files; returns its guests, and what it did not show."""
        rows, before = self._steps_before()
        guest = self.core.guest
        start = guest.log.n_sent
        again = play(self.core, self.failure.steps, self.known)
        taken = take(guest, lambda: self._memory(guest), self.failure.violation.paddr, None)
        taken.sent, taken.left_out, taken.of_others = taken.sent[-(guest.log.n_sent - start) :], 0, 0
        played = self._played(taken, rows, before)
        record = write_guest(archive, folder, "", taken, played)
        shows = again is not None and again.key == self.failure.key
        return (record,), "" if shows else "played once more, the case does not show the fault"

    def _memory(self, guest: BootedGuest) -> MemoryState:
        """The core's memory; its ranges are the map's."""
        reader = self.core.design.reader(guest)
        slots = reader.slots()
        if len(slots) > MOST_SLOTS:
            raise HarnessError("memory", detail=f"{len(slots)} slots, at most {MOST_SLOTS} are kept")
        return as_memory(reader.read(), slots, map_of(self.failure.steps))

    def _steps_before(self) -> tuple[list[MemoryState], MemoryState | None]:
        """Memory after the start and after each operation but the last; none where that says nothing."""
        steps, operations = self.failure.steps, operations_of(self.failure.steps)
        again = any(isinstance(step, CaseStorm) for step in operations) or counts_work(steps)
        if again or not 0 < len(operations) <= MOST_STEPS:
            return [], None
        start = tuple(step for step in steps if step not in operations)
        states = []
        for count in range(len(operations)):
            if play(self.core, (*start, *operations[:count]), self.known) is not None:
                return [], None
            states.append(self._memory(self.core.guest).copied())
        return states, states[-1]

    def _played(
        self, taken: Taken, states: Sequence[MemoryState], before: MemoryState | None
    ) -> PlayedAgain | None:
        if (
            before is None
            or taken.state is None
            or any(one.n_frames != taken.state.n_frames for one in states)
        ):
            return None
        rows: list[NDArray[np.void]] = [one.slots[taken.pfns] for one in (*states, taken.state)]
        operations = operations_of(self.failure.steps)
        free = [free_frames_by_order(one.slots) for one in (*states, taken.state)]
        life = Life(taken.pfns, np.array(rows), tuple(map(str, operations)), np.array(free))
        return PlayedAgain(
            before, payload_of(self.core.guest, taken.pfns[:0]), str(operations[-1]), taken.state, life
        )


def as_memory(state: CoreState, slots: NDArray[Any], memory: MemoryMap) -> MemoryState:
    """The same moment, with a zone for each segment, whose counters are counted in lists and caches.

    Args:
        memory: the map that the core was started on.
    Raises:
        MemoryStateError: a slot of this version has too few fields.
    """
    constants = replace(C, max_order=state.max_order)
    return MemoryState(
        slots=with_all_fields(slots),
        zones=tuple(_zone(state, place, one) for place, one in enumerate(state.segments)),
        cached=cached_frames([entry for entry in state.cached if entry[0] < len(slots)]),
        ram=_ranges(memory.usable),
        off_limits=_ranges(merged(rounded_out([*memory.forbidden, *spans_of(state.structures)]))),
        constants=constants,
    )


def _zone(state: CoreState, place: int, segment: Segment) -> Zone:
    blocks = [block for block in state.blocks if block.segment == place]
    heads = np.full((N_MIGRATETYPES, state.max_order + 1), C.link_none, np.uint64)
    for block in reversed(blocks):  # the first of a list is its head
        heads[block.kind, block.order] = pfn_to_paddr(block.pfn)
    managed = segment.end - segment.first
    free = sum(block.end - block.pfn for block in blocks)
    cached = sum(segment.first <= pfn < segment.end for pfn, _, _ in state.cached)
    return Zone(
        name=ZONES[segment.zone], first_pfn=segment.first, end_pfn=segment.end, heads=heads, managed=managed,
        free=free, cached=cached, allocated=managed - free - cached, quarantined=0, reserved=0,
    )  # fmt: skip


def _ranges(spans: Iterable[Span]) -> PfnRanges:
    """The frames that some spans of addresses touch."""
    return pfn_ranges([frames_touched(first, end) for first, end in spans])
