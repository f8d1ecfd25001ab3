"""Writes findings as texts for the maintainers of a kernel into a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from frame_harness.base import report_files
from frame_harness.base.disk import writing
from frame_harness.base.errors import MissingToolError, UsageError
from frame_harness.base.git import Repository
from frame_harness.base.text import plural
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.image.subject import Subject
from frame_harness.judge.evidence import Evidence
from frame_harness.judge.verdict import Verdict
from frame_harness.memory_core.clauses import CORE_CLAUSES
from frame_harness.report import upstream

_NAMED = re.compile(r"([A-Z]+-[0-9]{2})(-[0-9]+)?\.md")


def make_room(folder: Path | None, kept: Iterable[Path] = ()) -> None:
    """Make the folder, and remove what an earlier run left in it: a fault that is mended must not be sent.

    Args:
        kept: files and folders of the run that it may not be, or lie in.
    Raises:
        UsageError: it is a file, cannot be made, or has a file of somebody else's by the name of a text.
        Unwritable: there is no room, or no leave.
    """
    if folder is None:
        return
    report_files.require_apart("folder", folder, kept=kept)
    try:
        with writing(folder, instead="name another folder"):
            folder.mkdir(parents=True, exist_ok=True)
            for file in _earlier(folder):
                file.unlink()
    except OSError as error:
        raise UsageError(
            "folder", str(folder), detail=f"cannot be used: {error.strerror}", next_step="name another folder"
        ) from error


def _earlier(folder: Path) -> list[Path]:
    """The texts of earlier runs; a file of somebody else's that has the name of one is refused."""
    found = []
    for file in sorted(folder.iterdir()):
        named = _NAMED.fullmatch(file.name)
        if named is None or named[1] not in (*CLAUSES, *CORE_CLAUSES):
            continue
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        if not upstream.is_of(named[1], text):
            raise UsageError(
                "folder", str(folder), expected="texts of earlier runs alone",
                actual=f"{file.name}, which is none", next_step="name another folder, or move that file",
            )  # fmt: skip
        found.append(file)
    return found


def save(folder: Path | None, evidence: Evidence, verdict: Verdict, subject: Subject) -> str:
    """Write a file for each finding; returns what was written, in a line, or nothing.

    Raises:
        Unwritable: there is no room, or no leave.
    """
    if folder is None:
        return ""
    root, version = _repository(subject.path)
    found = upstream.texts(evidence, verdict, root, version)
    report_files.write({folder / name: text for name, text in found.items()})
    return f"{plural(len(found), 'text')} for the kernel's maintainers in {folder}" if found else ""


def _repository(path: Path) -> tuple[Path, str]:
    """The root of the repository around a path, with its commit; without git the path's folder alone."""
    folder = path if path.is_dir() else path.parent
    try:
        repository = Repository.around(folder)
    except (UsageError, MissingToolError):
        return folder, ""
    if (head := repository.id_of("HEAD")) is None:
        return repository.root, ""
    changed = repository.changed(repository.path_of(folder))
    return repository.root, f"commit {head[:12]}{' with changes' if changed else ''}"
