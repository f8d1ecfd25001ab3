"""Keeps what the guests of failing checks leave, where an archive was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.contract.contract import Contract
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.gathering.gatherer import Gatherer
from frame_harness.guest.errors import NotInThisVersion
from frame_harness.image.build import changed_sources
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.judge.baseline import EMPTY, Baseline
from frame_harness.judge.evidence import WELL, CheckInRun, CheckResult, Evidence, RunKey
from frame_harness.publishing.run_archive import ArchivedImage, Contents, RunArchive, named_archive
from frame_harness.session.request import SessionRequest
from frame_harness.session.results import OF_PREFLIGHT, check_name
from frame_harness.session.run import Run
from frame_harness.session.simplest import SimplestShown

RUN: Final = pytest.StashKey[Run]()
"""Where a check has its run, once it has come so far."""


class Leavings:
    """Of the checks of this process; nothing is kept without an archive."""

    def __init__(self, archive: Path | None, contract: Contract) -> None:
        self._archive = archive
        self._gatherer: Gatherer | None = None
        self._numbers: dict[str, int] = {}
        self._simplest = SimplestShown(contract)

    def number(self, items: Sequence[pytest.Item]) -> None:
        """Give each check its number: the same in every process, since all collect the same."""
        self._numbers = {item.nodeid: number for number, item in enumerate(items, start=1)}

    def number_of(self, item: pytest.Item) -> int:
        """The number of a check, 0 where none was given."""
        return self._numbers.get(item.nodeid, 0)

    def failed(self, item: pytest.Item, kernels: Sequence[Kernel], error: BaseException | None) -> None:
        """Read the guests of a check that just failed."""
        if self._archive is None or isinstance(error, NotInThisVersion):
            return
        # Made in the process that uses it: a worker must not end its parent's guests.
        self._gatherer = self._gatherer or Gatherer(self._archive)
        self._gatherer.failed(check_name(item), kernels, error, item.stash.get(RUN, None))

    def of_preflight(self, run: Run, kernel: Kernel) -> None:
        """Keep the guest in which an invariant of whole memory does not hold before the first check."""
        if self._archive is None:
            return
        first, *others = (f"{OF_PREFLIGHT}{one.name}" for one in run.violated)
        self._gatherer = self._gatherer or Gatherer(self._archive)
        self._gatherer.failed(first, [kernel], None)
        self._gatherer.ended(0, CheckInRun(run=run.key, check=first), others)

    def ended(self, item: pytest.Item, run: RunKey, told: Sequence[CheckResult]) -> None:
        """Write what a check left, once its guests are gone.

        Args:
            told: its result, then what it met of other clauses; nothing of a test that names no clause.
        """
        if self._gatherer is None:
            return
        also = [result.check for result in told[1:]]
        failed = not told or told[0].outcome not in WELL or also
        result = CheckInRun(run=run, check=check_name(item)) if failed else None
        number = self.number_of(item)
        shown = self._simplest.in_place_of(told, number) if told else ()
        if self._gatherer.ended(number, result, also, shown) and told:
            self._simplest.add(told, number)

    def close(self) -> tuple[str, ...]:
        """End what is left; return what could not be kept, each in a sentence."""
        if self._gatherer is None:
            return ()
        self._gatherer.close()
        return tuple(self._gatherer.notes)


def archive_of(request: SessionRequest, stack: ExitStack) -> RunArchive | None:
    """The archive of a session that nobody made one for; None where it is not asked for one.

    Args:
        stack: with its end another run may have the folder.

    Raises:
        HarnessError: the folder cannot be used.
    """
    if request.archive is None or request.evidence:
        return None
    return stack.enter_context(named_archive(request.archive, request.subject.files))


def contents_of(
    evidence: Evidence,
    subject: Subject,
    images: Sequence[Image],
    notes: tuple[str, ...],
    baseline: Baseline = EMPTY,
    required: tuple[str, ...] = (),
) -> Contents:
    """What goes into the archive of a run at its end.

    A file that is not any more what was judged is left out; the evidence says that it changed.
    """
    changed = {file for image in images for file in changed_sources(image)}
    if not _is_as_judged(subject):
        changed |= set(subject.files)
    files = {*subject.files, *(Path(file) for image in images for file, _ in image.sources)}
    return Contents(
        contract=subject.contract,
        evidence=evidence,
        baseline=baseline,
        required=required,
        images=tuple(ArchivedImage(image.elf, image.sha256) for image in images),
        sources=tuple(file for file in files if file not in changed),
        notes=notes,
    )


def _is_as_judged(subject: Subject) -> bool:
    try:
        return subject.refreshed() == subject
    except HarnessError:
        return False  # it is gone
