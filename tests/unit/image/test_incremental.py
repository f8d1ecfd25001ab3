"""What the compiler kept of a subject is found again, whatever was built in between."""

from __future__ import annotations

import errno
import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from frame_harness.image import incremental
from frame_harness.image.compiler import TARGET


def kept(target_dir: Path, profile: str = "release") -> Path:
    """The folder that cargo works in."""
    return target_dir / TARGET / profile / incremental.FOLDER


def compile_in(folder: Path, words: str, crate: str = "frame") -> None:
    """Leave a state as the compiler does, which never writes into a file that is there."""
    (folder / crate).mkdir(exist_ok=True)
    state = folder / crate / "state"
    state.unlink(missing_ok=True)
    state.write_text(words)


def left_in(folder: Path, crate: str = "frame") -> str:
    return (folder / crate / "state").read_text()


def test_each_subject_finds_what_was_kept_of_it(tmp_path: Path) -> None:
    for name in ("one", "two"):
        incremental.choose(tmp_path, "release", Path("/kernel", name))
        compile_in(kept(tmp_path), name)
    incremental.choose(tmp_path, "release", Path("/kernel/one"))
    assert left_in(kept(tmp_path)) == "one"


def test_a_new_subject_begins_with_what_was_kept_last_of_each_kind_of_kernel(tmp_path: Path) -> None:
    for name, crate in (("one", "frame"), ("two", "frame"), ("three", "tree")):
        incremental.choose(tmp_path, "release", Path("/kernel", name))
        compile_in(kept(tmp_path), name, crate)
    incremental.choose(tmp_path, "release", Path("/kernel/four"))
    assert (left_in(kept(tmp_path)), left_in(kept(tmp_path), "tree")) == ("two", "three")


def test_what_the_compiler_writes_in_place_changes_nothing_of_another_subject(tmp_path: Path) -> None:
    incremental.choose(tmp_path, "release", Path("/kernel/one"))
    compile_in(kept(tmp_path), "one")
    incremental.choose(tmp_path, "release", Path("/kernel/two"))
    (kept(tmp_path) / "frame" / "state").write_text("two")
    incremental.choose(tmp_path, "release", Path("/kernel/one"))
    assert left_in(kept(tmp_path)) == "one"


def test_objects_of_a_killed_build_are_not_written_through(tmp_path: Path) -> None:
    incremental.choose(tmp_path, "release", Path("/kernel/one"))
    compile_in(kept(tmp_path), "one")
    left = kept(tmp_path).parent / "deps" / "kernel_shim-1.unit.rcgu.o"
    left.parent.mkdir()
    os.link(kept(tmp_path) / "frame" / "state", left)
    incremental.choose(tmp_path, "release", Path("/kernel/two"))
    assert not left.exists()


def test_profiles_are_kept_apart_in_the_folders_that_cargo_gives_them(tmp_path: Path) -> None:
    incremental.choose(tmp_path, "dev", Path("/kernel/one"))
    incremental.choose(tmp_path, "release", Path("/kernel/one"))
    assert kept(tmp_path, "debug").is_dir() and kept(tmp_path, "release").is_dir()


def test_folder_that_cargo_made_by_itself_gives_way(tmp_path: Path) -> None:
    kept(tmp_path).mkdir(parents=True)
    compile_in(kept(tmp_path), "of whom?")
    incremental.choose(tmp_path, "release", Path("/kernel/one"))
    assert list(kept(tmp_path).iterdir()) == []


def test_what_was_used_last_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "MOST", 2)
    for age, name in ((3, "oldest"), (2, "older")):
        incremental.choose(tmp_path, "release", Path("/kernel", name))
        compile_in(kept(tmp_path), name)
        now = kept(tmp_path).stat().st_mtime
        os.utime(kept(tmp_path).resolve(), (now - age, now - age))
    incremental.choose(tmp_path, "release", Path("/kernel/new"))
    assert len(list(kept(tmp_path).parent.glob(f"{incremental.FOLDER}-*"))) == 2
    incremental.choose(tmp_path, "release", Path("/kernel/older"))
    assert left_in(kept(tmp_path)) == "older"


def test_what_a_killed_process_did_not_finish_goes_whatever_is_built_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incremental.choose(tmp_path, "release", Path("/kernel/one"))
    compile_in(kept(tmp_path), "one")
    before = set(kept(tmp_path).parent.iterdir())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as ending, pytest.raises(KeyboardInterrupt):
        ending.setattr("shutil.copytree", killed)
        incremental.choose(tmp_path, "release", Path("/kernel/two"))
    assert set(kept(tmp_path).parent.iterdir()) > before
    incremental.choose(tmp_path, "release", Path("/kernel/one"))
    assert set(kept(tmp_path).parent.iterdir()) == before


def test_a_new_subject_begins_with_nothing_where_there_is_no_room_for_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incremental.choose(tmp_path, "release", Path("/kernel/one"))
    compile_in(kept(tmp_path), "one")

    def full(source: str, target: str) -> None:
        Path(target).write_bytes(b"a part")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source)

    with monkeypatch.context() as disk:
        disk.setattr("shutil.copytree", partial(shutil.copytree, copy_function=full))
        incremental.choose(tmp_path, "release", Path("/kernel/two"))
    assert list(kept(tmp_path).iterdir()) == []
