"""Gathers, in one process, what the guests of failing checks leave."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from frame_harness.archive.records import FailureRecord, GuestRecord
from frame_harness.archive.writing import FailureWriter
from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_guest.memory_view import memory_in_ram, with_regions
from frame_harness.frame_metadata.memory_state import MemoryState
from frame_harness.gathering.replay import CommandReplayer, NotReplayed, PlayedAgain, require_same
from frame_harness.gathering.taken import Taken, take, take_remains
from frame_harness.gathering.writing import write_guest
from frame_harness.guest.checks import ClauseViolated
from frame_harness.guest.remains import Remains, remains_of, taken_guest
from frame_harness.guest.view import Region
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckInRun
from frame_harness.machine.definition import Machine


class OfRun(Protocol):
    """What guests of a run are booted with."""

    @property
    def image(self) -> Image: ...

    @property
    def machine(self) -> Machine: ...


MOST_GUESTS: Final = 4
"""Of one check: the last ones."""
MOST_REPLAYS: Final = 60
"""In one process."""


class Gatherer:
    """Writes a folder for each failing check whose guest is at hand; for one check at a time.

    Nothing here decides about a check: what goes wrong is noted in the archive.

    Attributes:
        notes: what could not be kept, beside the notes in the folders.
    """

    def __init__(self, archive: Path) -> None:
        self.notes: list[str] = []
        self._archive = archive
        self._replayer = CommandReplayer()
        self._taken: list[Taken] = []
        """Of the check that failed and is not over yet."""
        self._told: list[Remains] = []
        """Written already: an error may be raised again by each check of a run."""
        self._maps: dict[Hashable, list[Region] | HarnessError] = {}
        self._replays = 0

    def failed(
        self, check: str, guests: Sequence[Kernel], error: BaseException | None, run: OfRun | None = None
    ) -> None:
        """Read the guests of a check that just failed, before they are asked to exit.

        Args:
            guests: in the order in which the check booted them; the last one is the one that it is about.
            error: what it failed with.
            run: of the check, for what is shown without a guest of its own.
        """
        if self._taken:
            return  # it failed before, in an earlier phase
        frame = getattr(error, "frame", None)
        try:
            taken = [
                take(guest, lambda guest=guest: memory_in_ram(guest), frame, error)  # type: ignore[misc]
                for guest in guests[-MOST_GUESTS:]
            ]
            taken += self._left_with(error, frame, guests)
            if not taken and run is not None and isinstance(error, ClauseViolated) and error.shown_by:
                taken.append(self._replayer.shown(run.image, run.machine, error.shown_by, frame, error))
        except Exception as wrong:
            self._note(check, wrong)
            return
        self._taken = taken

    def _left_with(
        self, error: BaseException | None, frame: Paddr | None, in_hand: Sequence[Kernel]
    ) -> Iterator[Taken]:
        """What is left of a guest that an error tells of, and that the check itself does not have."""
        left, guest = remains_of(error), taken_guest(error)
        if left in self._told or any(left is not None and left is remains_of(one.failure) for one in in_hand):
            return
        if left is not None:
            self._told.append(left)
        if isinstance(guest, Kernel):
            yield take(guest, lambda: memory_in_ram(guest), frame, error)
        elif left is not None:
            yield take_remains(left, error)

    def ended(
        self, number: int, result: CheckInRun | None, also: Sequence[str], shown_by: Sequence[str] = ()
    ) -> bool:
        """Write the folder of the check that failed, once its guests are gone.

        Args:
            number: of the check, unlike that of any other.
            result: of the check; None where it did not fail after all.
            also: names of results of other clauses that it brought about.
            shown_by: checks of the same faults that were played already: its own commands are not.
        Returns:
            whether they were.
        """
        taken, self._taken = self._taken, []
        if not taken or result is None:
            return False
        try:
            name = result.check.rpartition("::")[2]
            writer = FailureWriter(self._archive, number, [name, result.run.machine, result.run.profile])
            guests = tuple(self._write(writer.folder, taken, shown_by))
            record = FailureRecord(
                run=result.run, check=result.check, case=result.case, also=tuple(also), guests=guests
            )
            writer.finish(record)
        except Exception as wrong:
            self._note(result.check, wrong)
            return False
        return bool(guests[-1].before)

    def close(self) -> None:
        """End the guests that commands were played again in."""
        try:
            self._replayer.close()
        except HarnessError as error:
            self.notes.append(f"a guest for playing commands again: {error.summary}")

    def _note(self, check: str, error: Exception) -> None:
        said = error.summary if isinstance(error, HarnessError) else " ".join(str(error).split())
        self.notes.append(f"{check}: what its guests left is not kept: {type(error).__name__}: {said}")

    def _write(self, folder: Path, taken: Sequence[Taken], shown_by: Sequence[str]) -> list[GuestRecord]:
        *others, last = taken
        records = [
            write_guest(self._archive, folder, f"guest-{number}", self._with_ranges(one, None))
            for number, one in enumerate(others, start=1)
        ]
        played = self._played(last, shown_by)
        return [*records, write_guest(self._archive, folder, "", self._with_ranges(last, played), played)]

    def _played(self, taken: Taken, shown_by: Sequence[str]) -> PlayedAgain | None:
        """What a fresh guest shows of the same commands; None, with a note, where none can."""
        guest = taken.guest
        if not isinstance(guest, Kernel) or taken.state is None:
            return None
        try:
            if shown_by:
                raise NotReplayed("replay", detail=f"see {', '.join(shown_by)}, which found the same faults")
            if taken.left_out:
                raise NotReplayed("replay", detail="older commands are not known any more")
            if guest.guest.debugged:
                raise NotReplayed("replay", detail="a debugger held its CPUs")
            if self._replays >= MOST_REPLAYS:
                raise NotReplayed("replay", detail=f"{MOST_REPLAYS} were made in this process")
            self._replays += 1
            played = self._replayer.play(
                guest.image, guest.machine, guest.options, taken.sent, died=taken.died, pfns=taken.pfns
            )
            if not taken.died:
                require_same(played, taken.state)
        except Exception as error:
            said = error.summary if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            taken.notes.append(f"no memory before the last command: {said}")
            return None
        return played

    def _with_ranges(self, taken: Taken, played: PlayedAgain | None) -> Taken:
        """The same with the ranges of RAM, which no guest that failed is asked for."""
        if taken.state is None:
            return taken
        if played is not None:
            of = played.end
            known = replace(taken.state, ram=of.ram, off_limits=of.off_limits, map=of.map)
            return replace(taken, state=known)
        state = taken.tried("ranges of RAM", lambda: self._mapped(taken, taken.state))
        return replace(taken, state=state or taken.state)

    def _mapped(self, taken: Taken, state: MemoryState | None) -> MemoryState | None:
        guest = taken.guest
        if not isinstance(guest, Kernel) or state is None:
            return state
        kind = (guest.image.sha256, guest.machine, guest.options.for_any_seed())
        if kind not in self._maps:
            try:
                self._maps[kind] = self._replayer.regions(guest.image, guest.machine, guest.options)
            except HarnessError as error:
                self._maps[kind] = error
        regions = self._maps[kind]
        if isinstance(regions, HarnessError):
            raise regions
        return with_regions(state, regions)
