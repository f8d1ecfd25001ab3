"""Frame modules as subjects."""

from __future__ import annotations

from pathlib import Path

from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.image.subject import Subject


def frame_module(path: str | Path | None = None) -> Subject:
    """The frame module in a file, or the built-in one, in which every clause holds.

    Raises:
        SubjectError: there is no such file, it may not be read, or no Rust source can name it.
    """
    return Subject.from_file(path, FRAME_METADATA) if path else Subject.builtin(FRAME_METADATA)


def modules_of(path: Path | None) -> Path | None:
    """The folder for the own modules of the frame module in a file, whether it is there or not."""
    return path.with_suffix("") if path else None
