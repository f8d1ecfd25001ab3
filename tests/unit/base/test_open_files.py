"""Proves that a process with room for few open files gets more, or says in one line that it cannot."""

from __future__ import annotations

import functools
import os
import resource
import subprocess
from pathlib import Path

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.base.open_files import LEAST, require_open_files
from frame_harness.judge.exit_codes import ExitCode
from tests.support.doors import CHECK, PYTEST, SOURCES


class Limits:
    """The limits of a process, as the system keeps them."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = soft, hard

    def get(self, _: int) -> tuple[int, int]:
        return self.now

    def set(self, _: int, limits: tuple[int, int]) -> None:
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "then"),
    [
        (LEAST - 1, LEAST, LEAST),
        (1, resource.RLIM_INFINITY, LEAST),
        (LEAST, LEAST, LEAST),
        (4 * LEAST, 8 * LEAST, 4 * LEAST),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_a_low_limit_is_raised_and_another_one_stays(
    soft: int, hard: int, then: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(soft, hard)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    require_open_files()
    assert limits.now == (then, hard)


def test_a_system_that_allows_too_few_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", Limits(20, LEAST - 1).get)
    with pytest.raises(HarnessError, match=f"expected at least {LEAST}, got {LEAST - 1}"):
        require_open_files()


@pytest.mark.parametrize("door", [CHECK, PYTEST], ids=["check", "pytest"])
def test_both_doors_say_it_before_anything_else(door: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "no-pytest.ini").touch()
    few = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (30, 30))
    said = subprocess.run(
        door, preexec_fn=few, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCES), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode in (ExitCode.ERROR, pytest.ExitCode.USAGE_ERROR)
    assert said.stderr.lower().strip().splitlines() == [
        f"error: open files: limit of this process: expected at least {LEAST}, got 30",
        f"next: ulimit -n {LEAST}, in a shell that may, then start again",
    ]
