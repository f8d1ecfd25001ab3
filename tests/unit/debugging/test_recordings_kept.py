"""A recording stays as long as a process lives that wrote or read it, whatever others make room for."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.base.disk import Unwritable
from frame_harness.debugging import recording
from frame_harness.image import cache_limit

NAMES = [f"{number:024x}" for number in range(12)]


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of recordings, in a build folder that is always too large."""
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    monkeypatch.setenv(cache_limit.VARIABLE, "1 KiB")
    monkeypatch.setattr(recording, "encode", lambda _: "a note")
    monkeypatch.setattr(recording, "decode", lambda *_: SimpleNamespace(log_sha256="", elf_sha256=""))
    return tmp_path / "recordings"


@contextlib.contextmanager
def a_process(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is held in the block is let go of at its end, as when a process ends."""
    with contextlib.ExitStack() as held, monkeypatch.context() as patch:
        patch.setattr(cache_limit, "_FOLDERS", held)
        yield


def keep(folder: Path) -> None:
    file = folder.parents[1] / "file"
    file.write_bytes(b"x" * 4096)
    note: Any = None
    recording.keep(folder, note, file, file)


@pytest.mark.parametrize("typed", ["recordings", "recordings/../recordings", "elsewhere/recordings"])
def test_recording_that_is_read_stays_though_many_are_made_and_room_is_short(
    typed: str, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recordings.parent / "elsewhere").symlink_to(recordings.parent)
    with a_process(monkeypatch):
        for name in NAMES:
            keep(recordings / name)
        cache_limit.trim()
        assert sorted(each.name for each in recordings.iterdir()) == NAMES
    read = recordings / NAMES[0]
    monkeypatch.chdir(recordings.parent)
    with a_process(monkeypatch):
        with pytest.raises(recording.RecordingError, match="is not what was recorded"):
            recording.load(Path(typed, NAMES[0]))
        cache_limit.trim()
        assert list(recordings.iterdir()) == [read]
    cache_limit.trim()
    assert list(recordings.iterdir()) == []


def test_recording_that_cannot_be_held_is_read_all_the_same(
    recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise Unwritable(folder, errno.EROFS)

    with a_process(monkeypatch):
        keep(recordings / NAMES[0])
        monkeypatch.setattr(recording, "hold_folder", refuse)
        with pytest.raises(recording.RecordingError, match="is not what was recorded"):
            recording.load(recordings / NAMES[0])


@pytest.mark.parametrize(
    ("name", "words"), [(NAMES[0], "no such folder"), ("x" * 252, "File name too long")], ids=["none", "long"]
)
def test_recording_that_is_none_is_one_message_and_leaves_nothing(
    name: str, words: str, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "long" in words:
        (recordings / name).mkdir(parents=True)
    with a_process(monkeypatch), pytest.raises(recording.RecordingError, match=words):
        recording.load(recordings / name)
    assert not list((recordings.parent / cache_limit.LOCKS).glob("*"))
