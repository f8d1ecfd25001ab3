"""How long the project's own proofs take, for whoever changes it: each beside the time that it may take."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.resources import checkout_root
from frame_harness.bench.rows import Row, timed

MINUTE_S = 60
WORDS_KEPT = 2000
"""Of what a command said that did not succeed, its end."""
TARGETS = (
    ("make check, everything built", ("make", "check"), 1),
    ("make test, everything built", ("make", "test"), 5),
)
CI_MINUTES = 10
OF_THE_CALLER = frozenset(
    {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"}
    | {"ARGS", "BASELINE", "FRAME_RS", "KERNEL_SRC", "MACHINE", "PROFILE", "TIME"}
)
"""What make hands down: its own words, and the variables of the menu."""


def measure() -> Iterator[Row]:
    """The quick part, the whole suite, then all that CI does in a clone that has nothing.

    Raises:
        UsageError: the harness was installed without its own tests.
        HarnessError: a command did not succeed, so that its time says nothing.
    """
    root = checkout_root()
    if root is None:
        raise UsageError(
            "bench", "suite", expected="a clone, which has the tests", actual="an installed package",
            next_step="run it in a clone: make bench ARGS=suite",
        )  # fmt: skip
    _run(("make", "check"), root)  # whatever has to be compiled first
    for name, command, minutes in TARGETS:
        yield _row(name, timed(lambda command=command: _run(command, root)), minutes)  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        _run(("git", "clone", "--quiet", str(root), str(clone)), root)
        yield _row(".ci/run in a fresh clone", timed(lambda: _run((".ci/run",), clone)), CI_MINUTES)


def _row(name: str, seconds: float, minutes: int) -> Row:
    spent = seconds / MINUTE_S
    return Row(name, spent, "the time that it may take", minutes, "min", spent / minutes, "<= 1.0")


def _run(command: Sequence[str], folder: Path) -> None:
    # Else `make bench ARGS=suite` would have pytest look for tests of that name.
    environment = {name: value for name, value in os.environ.items() if name not in OF_THE_CALLER}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if ended.returncode != 0:
        raise HarnessError(
            "bench", " ".join(command), detail=f"exit status {ended.returncode}",
            evidence=(ended.stdout + ended.stderr)[-WORDS_KEPT:], next_step="mend it: its time says nothing",
        )  # fmt: skip
