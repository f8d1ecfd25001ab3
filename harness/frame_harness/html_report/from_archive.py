"""Takes memory, sources and console of failing checks from the folder that a run left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import Paddr, paddr_to_pfn
from frame_harness.frame_metadata.memory_state import MemoryState
from frame_harness.html_report.figures import split_command
from frame_harness.html_report.memory import CheckMemory
from frame_harness.judge.evidence import CheckInRun, Evidence
from frame_harness.pictures.life import DrawnLife


class KeptLife(Protocol):
    """The slots of some frames over a guest's commands.

    `pfns` has shape (k,), `slots` shape (steps + 1, k), `free_frames` shape (steps + 1, orders) or (0, 0), as
    in `archive.memory.Life`.
    """

    @property
    def pfns(self) -> NDArray[Any]: ...

    @property
    def slots(self) -> NDArray[Any]: ...

    @property
    def commands(self) -> tuple[str, ...]: ...

    @property
    def free_frames(self) -> NDArray[Any]: ...


class KeptPages(Protocol):
    """The bytes of some frames: `pages` has a row of 4096 bytes for each of `pfns`."""

    @property
    def pfns(self) -> NDArray[Any]: ...

    @property
    def pages(self) -> NDArray[Any]: ...


class KeptGuest(Protocol):
    """What is told of a guest; `frames` are physical addresses."""

    @property
    def frames(self) -> tuple[Paddr, ...]: ...


class KeptRecord(Protocol):
    """Which results a failure belongs to."""

    @property
    def keys(self) -> tuple[CheckInRun, ...]: ...


class KeptFailure(Protocol):
    """One failing check; each part is read from its file when it is asked for."""

    @property
    def record(self) -> KeptRecord: ...

    @property
    def guests(self) -> Sequence[KeptGuest]: ...

    @property
    def before(self) -> MemoryState | None: ...

    @property
    def after(self) -> MemoryState | None: ...

    @property
    def payload(self) -> KeptPages | None: ...

    @property
    def life(self) -> KeptLife | None: ...

    @property
    def console(self) -> str: ...

    @property
    def notes(self) -> tuple[str, ...]: ...


class KeptRun(Protocol):
    """An opened archive, as far as the page reads it."""

    @property
    def evidence(self) -> Evidence: ...

    @property
    def failures(self) -> Sequence[KeptFailure]: ...

    def source(self, path: str) -> Path | None: ...


class Memories(Mapping[CheckInRun, CheckMemory]):
    """Memory behind the failing checks of an archive, read when it is asked for and not kept."""

    def __init__(self, archive: KeptRun) -> None:
        self._failures = {key: one for one in archive.failures for key in one.record.keys}

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


def _memory_of(failure: KeptFailure) -> CheckMemory:
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


def _shown(life: KeptLife) -> DrawnLife:
    """Without the replies, for which a picture has no room."""
    commands = tuple(split_command(line)[0] for line in life.commands)
    return DrawnLife(tuple(life.pfns.tolist()), life.slots, commands)


def sources_in(archive: KeptRun, more: Iterable[str] = ()) -> dict[str, str]:
    """By path the texts of the files that results name, and of `more`, as they were judged."""
    names = {result.at.rpartition(":")[0] for result in archive.evidence.checks if result.at}.union(more)
    copies = {name: archive.source(name) for name in names}
    return {
        name: copy.read_text(encoding="utf-8", errors="replace")
        for name, copy in copies.items()
        if copy is not None and copy.is_file()
    }
