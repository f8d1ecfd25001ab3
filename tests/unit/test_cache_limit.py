"""The build folder stays below its bound; what is in use and what is the user's stays."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.base.units import MIB
from frame_harness.cli import check as check_command
from frame_harness.cli import doctor
from frame_harness.image import cache_limit, disk
from frame_harness.image.cache_limit import hold, limit_bytes, trim
from tests.support.doors import SOURCES


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    monkeypatch.setenv(cache_limit.VARIABLE, "4 MiB")
    return tmp_path


def made(cache: Path, name: str, used: int, n_bytes: int = MIB) -> Path:
    path = cache / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * n_bytes)
    os.utime(path, (used, used))
    return path


def test_least_recently_used_goes_first(cache: Path) -> None:
    files = [made(cache, f"images/{at}/kernel_shim", used=at) for at in (3, 1, 2, 6, 5, 4)]
    trim()
    assert sorted(file.parent.name for file in files if file.exists()) == ["3", "4", "5", "6"]
    assert not files[1].parent.exists()


def test_below_the_bound_everything_stays(cache: Path) -> None:
    files = [made(cache, f"dwarf/{at}.json", used=at) for at in range(4)]
    trim()
    assert all(file.exists() for file in files)


def test_target_folder_of_a_toolchain_that_is_gone_counts_and_goes(cache: Path) -> None:
    old = made(cache, "target/old/release/big", used=1, n_bytes=3 * MIB)
    new = made(cache, "target/new/release/big", used=2, n_bytes=3 * MIB)
    trim(new)
    assert (old.exists(), new.exists()) == (False, True)


def test_what_is_needed_now_and_what_fuzz_saved_stays(cache: Path) -> None:
    needed = made(cache, "images/a/kernel_shim", used=1, n_bytes=5 * MIB)
    script = made(cache, "scripts/ALLOC-07.txt", used=0, n_bytes=5 * MIB)
    trim(needed)
    assert needed.exists() and script.exists()


def test_image_that_another_process_may_boot_stays(cache: Path) -> None:
    image = made(cache, "images/a/kernel_shim", used=1, n_bytes=5 * MIB)
    text = "import sys; from pathlib import Path; from frame_harness.image.cache_limit import hold; "
    text += "print(hold(Path(sys.argv[1])), flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", text, str(image)]
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        trim()
        assert image.exists()
        other.communicate()
    trim()
    assert not image.exists() and not hold(image)


def test_bound_that_is_no_size_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache_limit.VARIABLE, "much")
    with pytest.raises(UsageError, match="FRAME_HARNESS_CACHE_LIMIT: much: expected a size"):
        limit_bytes()


@pytest.mark.parametrize("said", ["ld: final link failed: No space left on device", "(os error 28)"])
def test_full_disk_is_named_with_folder_room_and_next_step(said: str, tmp_path: Path) -> None:
    full = disk.no_room_for_build(tmp_path, f"error: linking failed\n{said}\n")
    assert full is not None
    assert full.summary.startswith(f"disk full: {tmp_path}: ") and "MiB free of" in full.summary
    assert said in str(full) and "FRAME_HARNESS_CACHE" in full.next_step


def test_linker_that_fails_with_room_is_no_full_disk(tmp_path: Path) -> None:
    assert disk.no_room_for_build(tmp_path, "ld: undefined symbol") is None


def test_file_that_finds_no_room_is_named(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "images"))
    trouble = check_command._of_the_host(error)
    assert f"disk full: {tmp_path}" in trouble.message and "make room" in trouble.next
    assert disk.no_room(OSError(errno.EACCES, "no"), tmp_path) is None


def test_doctor_on_a_cache_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    line = doctor._look("build folder", doctor._build_folder)
    assert "Read-only file system" in line.missing and "next: set FRAME_HARNESS_CACHE" in line.missing
    assert doctor._look("rust", refuse).missing.startswith("[Errno")  # type: ignore[arg-type]
