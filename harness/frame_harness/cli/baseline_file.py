"""Reads the file of findings that are already known."""

from __future__ import annotations

from pathlib import Path

from frame_harness.base.reading import text_of
from frame_harness.contract.clauses import Clauses
from frame_harness.judge.baseline import EMPTY, Baseline, BaselineError, parse


def load_baseline(path: Path | None, clauses: Clauses) -> Baseline:
    """Read a baseline file; without one nothing is known.

    Raises:
        BaselineError: unreadable, not TOML, or an invalid entry.
    """
    if path is None:
        return EMPTY
    try:
        text = text_of(path)
    except (OSError, UnicodeDecodeError) as error:
        got = error.strerror if isinstance(error, OSError) else "bytes that are no text"
        raise BaselineError(
            "baseline",
            str(path),
            expected="a readable TOML file",
            actual=str(got),
            next_step="name another file",
        ) from error
    return parse(text, str(path), clauses)
