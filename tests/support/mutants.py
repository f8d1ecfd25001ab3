"""Breaks the built-in frame module, by replacing words that occur exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.image.subject import Subject

Edit = tuple[str, str]


class MutantError(AssertionError):
    """The text that a mutant replaces is not there, or there more than once."""


def apply(text: str, edits: Sequence[Edit], *, name: str = "mutant") -> str:
    """Replace one text after the other; each must occur exactly once when its turn comes."""
    for old, new in edits:
        if text.count(old) != 1:
            raise MutantError(f"{name}: expected {old!r} once, found it {text.count(old)} times")
        text = text.replace(old, new)
    return text


def mutated(folder: Path, edits: Sequence[Edit]) -> Path:
    """Write a changed copy of the built-in module; return its path."""
    path = folder / "frame.rs"
    path.write_text(apply(Subject.builtin().path.read_text(encoding="utf-8"), edits), encoding="utf-8")
    return path
