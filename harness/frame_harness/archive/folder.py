"""Opens an archive: evidence and verdict, failures with their guests and memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from frame_harness.archive import files
from frame_harness.archive.files import NoArchive, damaged
from frame_harness.archive.memory import Life, Payload, load, load_life, load_payload
from frame_harness.archive.records import SCHEMA, Begun, FailureRecord, GuestRecord, Header
from frame_harness.base.record import Record
from frame_harness.contract.contract import Contract
from frame_harness.frame_metadata.memory_state import MemoryState
from frame_harness.judge.evidence import CheckInRun, CheckResult, Evidence, EvidenceError, decode
from frame_harness.judge.findings import Finding
from frame_harness.judge.verdict import Verdict, judge

R = TypeVar("R", bound=Record)
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class FailureFolder:
    """A check that did not pass, with what its guests left.

    `before`, `after`, `life`, `payload` are those of the last guest; None where they were not kept: the
    record's notes say why.

    Attributes:
        result: of the check, or of what it met of another clause; None where the session lost it.
    """

    folder: Path
    record: FailureRecord
    result: CheckResult | None

    @property
    def names(self) -> Iterator[str]:
        """The files that the record names."""
        for guest in self.guests:
            named = guest.console, guest.script, guest.commands_file, guest.before, guest.after, guest.life
            yield from filter(None, named)

    @property
    def guests(self) -> tuple[GuestRecord, ...]:
        """The records of its guests, that of the one that failed last; empty where there was none."""
        return self.record.guests

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be kept of it or of its guests, and why."""
        return (*self.record.notes, *(note for guest in self.guests for note in guest.notes))

    @property
    def before(self) -> MemoryState | None:
        """Memory before the last command; the file is read at each use."""
        return self._read("before", load)

    @property
    def after(self) -> MemoryState | None:
        """Memory after the last command; the file is read at each use."""
        return self._read("after", load)

    @property
    def payload(self) -> Payload | None:
        """Bytes of the frames concerned, after the last command."""
        return self._read("after", load_payload)

    @property
    def life(self) -> Life | None:
        """The slots of the frames concerned, command by command; the file is read at each use."""
        return self._read("life", load_life)

    @property
    def console(self) -> str:
        """The last guest's transcript, with the time of each line; empty where it had none."""
        return self._read("console", lambda path: path.read_text(encoding="utf-8")) or ""

    def _read(self, what: str, reader: Callable[[Path], T]) -> T | None:
        name = str(getattr(self.guests[-1], what)) if self.guests else ""
        return reader(self.folder / name) if name else None


class Archive:
    """The evidence of a run that came to its end; nothing outside of the folder is read."""

    def __init__(self, folder: Path, header: Header, names: Collection[str]) -> None:
        """Take a header whose files are known.

        Args:
            names: of all files whose sums were compared: no other one is read.
        """
        self.folder, self.header, self._names = folder, header, names

    @classmethod
    def open(cls, folder: Path) -> Archive:
        """Read the evidence; every file is compared with its sum.

        Raises:
            NoArchive: it is none, not a whole one, or another version's.
            DamagedArchive: a file is not what was written.
        """
        _require_whole(folder)
        sums = files.read_sums(folder)
        for name, expected in sums.items():
            files.require_sum(folder, name, expected)
        if unknown := sorted(set(files.contents(folder)) - sums.keys()):
            raise damaged(folder / unknown[0], f"a file that {files.SUMS} lists", "another one")
        archive = cls(folder, _decoded(folder / files.HEADER, Header), sums.keys())
        for source in archive.header.sources:
            archive._require_known(files.HEADER, source.file)
        return archive

    @property
    def evidence(self) -> Evidence:
        """All that the run saw, as the header holds it."""
        return self.header.evidence

    def verdict(self, contract: Contract) -> Verdict:
        """Judge the evidence again.

        Args:
            contract: the one that the header names.
        """
        if contract.name != self.header.contract:
            raise AssertionError(f"{contract.name} in place of {self.header.contract}")
        return judge(self.evidence, contract, self.header.baseline, self.header.required)

    @cached_property
    def failures(self) -> tuple[FailureFolder, ...]:
        """The checks that did not pass and had a guest at hand, in the order of the plan.

        Raises:
            DamagedArchive: one of them is no record, or names a file that is none of the archive's.
        """
        results = {result.key: result for result in self.evidence.checks}
        found = []
        for folder in sorted((self.folder / files.FAILURES).glob("[0-9]*"), key=_number):
            name = f"{files.FAILURES}/{folder.name}"
            self._require_known(files.SUMS, f"{name}/{files.FAILURE}")
            record = _decoded(folder / files.FAILURE, FailureRecord)
            result = next((results[key] for key in record.keys if key in results), None)
            found.append(FailureFolder(folder, record, result))
            for file in found[-1].names:
                self._require_known(f"{name}/{files.FAILURE}", f"{name}/{file}")
        return tuple(found)

    def _require_known(self, by: str, name: str) -> None:
        """Require a file that is named in another one to be one of the archive's."""
        if name not in self._names:
            raise damaged(self.folder / by, f"names of files that {files.SUMS} lists", name)

    def failure_of(self, result: CheckResult) -> FailureFolder | None:
        """What the guests of a result left; None where it had none."""
        return self.by_key.get(result.key)

    def failure_of_finding(self, finding: Finding) -> FailureFolder | None:
        """What the guests left of the simplest check that shows a finding and had a guest.

        One that has its memory before the last command, too, comes first.
        """
        there = [one for result in finding.results if (one := self.failure_of(result))]
        whole = [one for one in there if one.guests and one.guests[-1].before]
        return next(iter((*whole, *there)), None)

    @cached_property
    def by_key(self) -> dict[CheckInRun, FailureFolder]:
        """What guests left, by the check that had them; the first check's in the plan of what several met."""
        return {key: one for one in reversed(self.failures) for key in one.record.keys}

    @property
    def kept(self) -> dict[CheckInRun, Path]:
        """The folders of `by_key`, relative to the archive: where it lies does not change a report."""
        return {key: one.folder.relative_to(self.folder) for key, one in self.by_key.items()}

    @property
    def copies(self) -> dict[str, Path]:
        """Of the subject's files, by the path that findings name."""
        return {one.path: self.folder / one.file for one in self.header.sources}

    def source(self, path: str) -> Path | None:
        """The copy of a source file that a finding names; None where it is not one of the subject's."""
        return self.copies.get(path)


def _number(folder: Path) -> tuple[int, str]:
    digits = folder.name.partition("-")[0]
    return (int(digits) if digits.isdecimal() else 0, folder.name)


def _require_whole(folder: Path) -> None:
    """Tell a folder that is no archive from one whose run did not end."""
    if not folder.is_dir():
        there = "a file" if folder.exists() else "nothing"
        raise NoArchive(
            "archive", str(folder), expected="a folder that `check --out` wrote", actual=there,
            next_step="name such a folder",
        )  # fmt: skip
    for name in (files.HEADER, files.BEGUN, files.SUMS):  # each is read before any sum is compared
        if (folder / name).is_symlink():
            raise damaged(folder / name, "a regular file", "a link")
    if (folder / files.HEADER).is_file():
        _require_schema(folder / files.HEADER)
        return
    if (folder / files.BEGUN).is_file():
        began = _decoded(folder / files.BEGUN, Begun)
        raise NoArchive(
            "archive", str(folder), expected="that of a run that came to its end",
            actual=f"one that began {began.at} and wrote no {files.HEADER}",
            next_step="wait for the run, or start it again: what its failing checks left is in "
            f"{folder / files.FAILURES}",
        )  # fmt: skip
    raise NoArchive(
        "archive", str(folder), expected=f"a folder with {files.HEADER}", actual="one without",
        next_step="name a folder that `check --out` wrote",
    )  # fmt: skip


def _require_schema(path: Path) -> None:
    """Refuse what another version wrote before its fields are called wrong."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, "JSON", " ".join(str(error).split())) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise NoArchive(
            "archive", str(path), expected=f"schema {SCHEMA}", actual=schema,
            next_step="open it with the version of frame-harness that wrote it",
        )  # fmt: skip


def _decoded(path: Path, kind: type[R]) -> R:
    try:
        return decode(path.read_bytes(), kind)
    except OSError as error:
        raise damaged(path, "a readable file", error.strerror or "none") from error
    except EvidenceError as error:
        raise damaged(path, f"{kind.__name__} as JSON", error.detail) from error
