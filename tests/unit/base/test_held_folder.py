"""A folder of a process that was killed is gone with the next one; a folder in use stays."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from frame_harness.base import held_folder as folders
from frame_harness.base.disk import scratch
from frame_harness.base.held_folder import held_folder, suffix, sweep
from tests.support.doors import SOURCES

HOLD = """
import os, sys
from frame_harness.base.disk import scratch
with scratch("test") as folder:
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text("x")
    if sys.argv[1:] == ["fork"] and os.fork():
        os._exit(0)
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


def holding(place: Path, *words: str) -> subprocess.Popen[str]:
    """A process that holds a folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCES), "TMPDIR": str(place)},
    )  # fmt: skip
    return process


def test_folder_of_a_killed_process_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(folders, "_SWEPT", set())
    with holding(tmp_path) as process:
        assert process.stdout is not None and process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    [left] = tmp_path.iterdir()
    with scratch("test") as folder:
        assert list(tmp_path.iterdir()) == [folder] != [left]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [(), ("fork",)])
def test_folder_that_a_process_or_what_it_forked_uses_stays(words: tuple[str, ...], tmp_path: Path) -> None:
    with holding(tmp_path, *words) as process:
        assert process.stdout is not None and process.stdout.readline()
        sweep(tmp_path)
        [held] = tmp_path.iterdir()
        assert (held / "sub" / "file").read_text() == "x"
        assert process.stdin is not None
        process.stdin.close()
        assert process.stdout.read() == ""  # the last process that has it ended
    assert list(tmp_path.iterdir()) == []


def test_only_folders_of_the_harness_are_swept(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "kept").mkdir(parents=True)
    for name in ("frame-harness-task-1", "frame-harness-task-2.0badcafe.tmp", f"else{suffix()}"):
        (tmp_path / name).mkdir()
    (tmp_path / f"frame-harness-file{suffix()}").write_text("x")
    (tmp_path / f"frame-harness-link{suffix()}").symlink_to(elsewhere)
    before = sorted(tmp_path.iterdir())
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == before and (elsewhere / "kept").is_dir()


def test_folder_of_another_user_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / f"frame-harness-task-1{suffix()}"
    folder.mkdir()
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    sweep(tmp_path)
    assert folder.is_dir()
    monkeypatch.undo()
    sweep(tmp_path)
    assert not folder.exists()


def test_folder_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    swept: list[Path] = []

    def late(number: int, operation: int) -> None:
        if not swept:
            swept.append(Path(f"/proc/self/fd/{number}").readlink())
            swept[0].rmdir()
        lock(number, operation)

    monkeypatch.setattr("fcntl.flock", late)
    with held_folder(tmp_path, "frame-harness-") as folder:
        assert folder.is_dir() and [folder] != swept


def test_file_system_without_locks_serves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_number: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    with held_folder(tmp_path, "frame-harness-") as folder:
        sweep(tmp_path)
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []
