"""What a finding is shown with beside its evidence: the text that was judged, the layout of a slot."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from frame_harness.contract.layout import StructLayout
from frame_harness.judge.evidence import CheckInRun, SubjectInfo


@dataclass(frozen=True)
class SourceLine:
    """One line of the subject, its number from 1 on."""

    number: int
    text: str


@dataclass(frozen=True)
class FindingContext:
    """Knows the texts that were judged, and how the bytes of a slot lie.

    Attributes:
        slot: the contract's layout; None shows no bytes of slots.
        copies: by path the copy to read in place of a file, which may be gone or another one by now; no other
            file is read then. None reads the files themselves.
        kept: the folders with what guests of checks left.
    """

    subject: SubjectInfo | None = None
    slot: StructLayout | None = None
    copies: Mapping[str, Path] | None = None
    kept: Mapping[CheckInRun, Path] = field(default_factory=dict)
    _texts: dict[str, Sequence[str]] = field(default_factory=dict)

    def lines(self, file: str) -> Sequence[str]:
        """All lines of a file of the subject; none where it is gone, or is not any more what was judged."""
        if file not in self._texts:
            self._texts[file] = self._read(file)
        return self._texts[file]

    def around(self, place: tuple[str, int] | None, beside: int = 1) -> Sequence[SourceLine]:
        """The line of a place with some on both sides of it; none where nobody knows them."""
        if place is None:
            return ()
        file, number = place
        lines = self.lines(file)
        if not 1 <= number <= len(lines):
            return ()
        first = max(1, number - beside)
        return [SourceLine(first + at, text) for at, text in enumerate(lines[first - 1 : number + beside])]

    def _read(self, file: str) -> Sequence[str]:
        judged = {one.path: one.sha256 for one in self.subject.files} if self.subject else {}
        path = Path(file) if self.copies is None else self.copies.get(file)
        if file not in judged or path is None:
            return ()
        try:
            data = path.read_bytes()
        except OSError:
            return ()  # it is gone; the finding names the line all the same
        if hashlib.sha256(data).hexdigest() != judged[file]:
            return ()
        # As a compiler counts lines: other signs that Python takes for an end are part of a line.
        return data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")


NO_CONTEXT = FindingContext()
