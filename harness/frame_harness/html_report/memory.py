"""Memory behind failing checks as the page shows it, taken from the folder that a run left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from frame_harness.archive.folder import Archive, FailureFolder
from frame_harness.archive.memory import Life
from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Pfn, paddr_to_pfn
from frame_harness.frame_metadata.memory_state import MemoryState
from frame_harness.judge.evidence import CheckInRun
from frame_harness.pictures.life import DrawnLife


@dataclass(frozen=True, eq=False)
class CheckMemory:
    """Memory around the last command of a check's guest; all of it may be unknown.

    Args:
        frames: pfns that the finding is about, the most important first.
        payload: by pfn the bytes of a frame after the last command.
        life: of those frames, over the guest's commands.
        free_frames: after each step of a history the free frames by order, the first before any.
        console: the guest's whole transcript.
        notes: what could not be kept, and why.
    """

    before: MemoryState | None = None
    after: MemoryState | None = None
    frames: tuple[Pfn, ...] = ()
    payload: Mapping[Pfn, bytes] = field(default_factory=dict)
    life: DrawnLife | None = None
    free_frames: Sequence[Sequence[int]] = ()
    console: str = ""
    notes: tuple[str, ...] = ()


NOTHING = CheckMemory()


class Memories(Mapping[CheckInRun, CheckMemory]):
    """Memory behind the failing checks of an archive, read when it is asked for and not kept."""

    def __init__(self, archive: Archive) -> None:
        self._failures = archive.by_key

    def __getitem__(self, key: CheckInRun) -> CheckMemory:
        failure = self._failures[key]
        try:
            return _memory_of(failure)
        except HarnessError as error:
            return CheckMemory(notes=(*failure.notes, error.summary))

    def __iter__(self) -> Iterator[CheckInRun]:
        return iter(self._failures)

    def __len__(self) -> int:
        return len(self._failures)

    def __contains__(self, key: object) -> bool:
        return key in self._failures  # without reading anything


def _memory_of(failure: FailureFolder) -> CheckMemory:
    pages, life = failure.payload, failure.life
    frames = failure.guests[-1].frames if failure.guests else ()
    return CheckMemory(
        before=failure.before,
        after=failure.after,
        frames=tuple(paddr_to_pfn(frame) for frame in frames),
        payload={}
        if pages is None
        else {pfn: page.tobytes() for pfn, page in zip(pages.pfns.tolist(), pages.pages, strict=True)},
        life=None if life is None else _shown(life),
        free_frames=() if life is None else life.free_frames.tolist(),
        console=failure.console,
        notes=failure.notes,
    )


def _shown(life: Life) -> DrawnLife:
    """Without the replies, for which a picture has no room."""
    commands = tuple(split_command(line)[0] for line in life.commands)
    return DrawnLife(tuple(life.pfns.tolist()), life.slots, commands)


def sources_in(archive: Archive, more: Iterable[str]) -> dict[str, str]:
    """By path the texts of the files that results name, and of `more`, as they were judged."""
    names = {result.at.rpartition(":")[0] for result in archive.evidence.checks if result.at}.union(more)
    copies = {name: archive.source(name) for name in names}
    return {
        name: copy.read_text(encoding="utf-8", errors="replace")
        for name, copy in copies.items()
        if copy is not None and copy.is_file()
    }


def split_command(line: str) -> tuple[str, str]:
    """A line of a result's commands as what was sent and what came back."""
    command, _, reply = line.partition(" → ")
    return command, reply
