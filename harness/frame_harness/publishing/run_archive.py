"""The archive of one run: made ready before it, filled while it goes on, closed behind its verdict."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from frame_harness.archive import files, runs, writing
from frame_harness.archive.folder import Archive
from frame_harness.archive.records import Begun, Header
from frame_harness.base.errors import HarnessError
from frame_harness.base.program import program
from frame_harness.base.version import version
from frame_harness.contract.contract import Contract
from frame_harness.judge.baseline import EMPTY, Baseline
from frame_harness.judge.evidence import CheckInRun, Evidence
from frame_harness.publishing.reports import write_reports


@dataclass(frozen=True)
class ArchivedImage:
    """An image of the run."""

    elf: Path
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a run adds to its archive at its end."""

    contract: Contract
    evidence: Evidence
    baseline: Baseline = EMPTY
    required: tuple[str, ...] = ()
    """Clauses that must have been looked at."""
    images: tuple[ArchivedImage, ...] = ()
    sources: tuple[Path, ...] = ()
    """Files of the subject."""
    notes: tuple[str, ...] = ()
    """What could not be kept while the run went on."""


class RunArchive:
    """The folder of a run that goes on; `named` by the user, who wants to have it."""

    def __init__(self, folder: Path, begun: Begun, *, named: bool) -> None:
        self.folder, self._begun, self._named = folder, begun, named
        self._archive: Archive | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the evidence is in it."""
        return (self.folder / files.SUMS).is_file()

    def failures(self) -> dict[CheckInRun, Path]:
        """The folders with what guests of checks left, as a user would name them; none before `finish`."""
        if self._archive is None:
            return {}
        return {key: called(self.folder / folder) for key, folder in self._archive.kept.items()}

    def finish(self, contents: Contents) -> tuple[str, ...]:
        """Write the evidence and the reports; return what could not be kept, each in a sentence.

        Raises:
            Unwritable, OSError: the evidence itself cannot be written where the user wants it.
        """
        try:
            return self._finish(contents)
        except (HarnessError, OSError) as error:
            if self._named:
                raise
            return (*contents.notes, f"the evidence: {_said(error)}")

    def _finish(self, contents: Contents) -> tuple[str, ...]:
        notes = list(contents.notes)
        for image in contents.images:
            try:
                writing.add_image(self.folder, image.elf, image.sha256)
            except OSError as error:
                notes.append(f"an image is not kept: {error}")
        try:
            sources = writing.add_sources(self.folder, contents.sources)
        except OSError as error:
            sources = ()
            notes.append(f"the subject's files are not kept: {error}")
        header = Header(
            command=self._begun.command, at=self._begun.at, contract=contents.contract.name,
            version=version(), required=contents.required, baseline=contents.baseline,
            evidence=contents.evidence, sources=sources, notes=tuple(notes),
        )  # fmt: skip
        writing.finish(self.folder, header)
        self._archive = Archive(self.folder, header, files.read_sums(self.folder).keys())
        return (*notes, *write_reports(self._archive, contents.contract))


@contextlib.contextmanager
def named_archive(folder: Path, read: Iterable[Path | None]) -> Iterator[RunArchive]:
    """Make the archive in a folder that the user named, empty now; no other run has it meanwhile.

    Args:
        read: files that the run reads.
    Raises:
        HarnessError: it cannot be used, or another run has it.
    """
    runs.require_elsewhere(folder)
    writing.require_room(folder, read)
    with writing.held(folder):
        yield RunArchive(folder, writing.begin(folder, command()), named=True)


def command() -> tuple[str, ...]:
    """How this program was called."""
    return (program(), *sys.argv[1:])


@contextlib.contextmanager
def archive_of_a_run(out: Path | None, read: Iterable[Path | None] = ()) -> Iterator[RunArchive | None]:
    """Make the archive of a run ready: where the user wants it, else among the last runs; None: for none.

    Args:
        read: files that the run reads.
    Raises:
        HarnessError: a folder that the user named cannot be used. Any other one is done without.
    """
    if out is not None:
        with named_archive(out, read) as archive:
            yield archive
        return
    if not runs.most_kept():
        yield None
        return
    with contextlib.ExitStack() as stack:
        try:
            folder = runs.new_run()
            stack.enter_context(runs.in_use(folder))
            archive = RunArchive(folder, writing.begin(folder, command()), named=False)
        except (HarnessError, OSError) as error:
            print(f"no evidence is kept: {_said(error)}", file=sys.stderr)
            yield None
            return
        try:
            yield archive
        except BaseException:
            if not any((folder / files.FAILURES).glob("[0-9]*")):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        if archive.is_whole:
            try:
                runs.settle(folder)
            except (HarnessError, OSError) as error:
                print(f"older evidence is not removed: {_said(error)}", file=sys.stderr)


def _said(error: HarnessError | OSError) -> str:
    return error.summary if isinstance(error, HarnessError) else str(error)


def shown(folder: Path) -> str:
    """How to call a folder in a command."""
    return shlex.quote(str(called(folder)))


def called(folder: Path) -> Path:
    """A folder as it is called from here."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
