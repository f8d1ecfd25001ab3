"""The build folder stays below its bound; what is in use and what is the user's stays."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.base.resources import build_dir
from frame_harness.base.units import MIB
from frame_harness.cli import doctor, mutate_grounds
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image import cache_limit, elf_cache
from frame_harness.image.build import build
from frame_harness.image.cache_limit import hold, limit_bytes, trim
from frame_harness.image.ir_build import target_of
from frame_harness.image.toolchain import find_toolchain
from tests.support.doors import SOURCES


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    monkeypatch.setenv(cache_limit.VARIABLE, "4 MiB")
    return tmp_path


def made(cache: Path, name: str, used: int, n_bytes: int = MIB) -> Path:
    """Write a file that was used `used` seconds after some moment of today."""
    path = cache / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * n_bytes)
    at = time.time() - 1000 + used
    os.utime(path, (at, at))
    return path


@contextlib.contextmanager
def another_process(statement: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """Let another process run a statement that prints one line; it lives until the end of the block."""
    imports = "import fcntl, sys; from pathlib import Path; from frame_harness.image import cache_limit"
    argv = [sys.executable, "-c", f"{imports}; {statement}; sys.stdin.read()", *map(str, words)]
    pipe = subprocess.PIPE
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None and other.stdout.readline()
        yield other
        other.kill()


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
    with another_process("print(cache_limit.hold(Path(sys.argv[1])), flush=True)", image):
        trim()
        assert image.exists()
    trim()
    assert not image.exists() and not hold(image)


def test_image_that_was_built_again_is_held_again(cache: Path) -> None:
    image = made(cache, "images/a/kernel_shim", used=1, n_bytes=5 * MIB)
    assert hold(image)
    image.unlink()
    assert not hold(image)
    made(cache, "images/a/kernel_shim", used=1, n_bytes=5 * MIB)
    assert hold(image)
    trim()
    assert image.exists()


def test_image_that_is_removed_before_it_is_held_is_not_taken_for_its_successor(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = made(cache, "images/a/kernel_shim", used=1, n_bytes=5 * MIB)
    with monkeypatch.context() as between:
        between.setattr(cache_limit, "_share", lambda _: image.unlink())
        assert not hold(image)
    made(cache, "images/a/kernel_shim", used=1, n_bytes=5 * MIB)
    assert hold(image)
    trim()
    assert image.exists()


FOLDERS = ("target/k", "target/k-clippy", "ir/target/k", "ir/shim/k", "ir/crates/k-1", "cargo/1")
PLACES = ("images/a/kernel_shim", "notes/k.json", "dwarf/k.json", "toolchains/k.json", *FOLDERS)


@pytest.mark.parametrize("place", PLACES)
def test_whatever_can_be_built_again_counts_and_goes(place: str, cache: Path) -> None:
    file = made(cache, f"{place}/release/big" if place in FOLDERS else place, used=1, n_bytes=5 * MIB)
    assert cache_limit.described().startswith("5 MiB of at most 4 MiB")
    trim()
    assert not file.exists() and not (cache / place).exists()


def test_every_folder_that_the_sources_name_is_counted() -> None:
    sources = [file.read_text(encoding="utf-8") for file in SOURCES.glob("frame_harness/**/*.py")]
    named = {name for text in sources for name in _first_folders(text)}
    counted = {
        pattern.partition("/")[0] for pattern in (*cache_limit.BUILT, *cache_limit.NOTED, *cache_limit.KEPT)
    }
    assert (
        {"target", "ir", "cargo", "images", "scripts", "mutation", "versions"}
        <= named
        <= {*counted, cache_limit.LOCKS}
    )


def _first_folders(text: str) -> set[str]:
    """The names behind `build_dir() /`, written there or as a constant of the same file."""
    constants = dict(re.findall(r'^(\w+)(?:: Final)? = "(\w[\w-]*)"$', text, re.MULTILINE))
    found = re.findall(r'build_dir\(\) / (?:"(\w+)"|(\w+)\b(?!\.))', text)
    return {literal or constants[name] for literal, name in found}


def test_what_mutants_are_measured_by_goes_unless_this_command_needs_it(cache: Path) -> None:
    old = made(cache, "mutation/old/reference.json", used=1, n_bytes=5 * MIB)
    needed = made(cache, "mutation/needed/reference.json", used=0, n_bytes=5 * MIB)
    assert mutate_grounds._kept("needed") == needed
    trim()
    assert needed.exists() and not old.exists()


def test_note_of_what_was_broken_makes_no_room_and_goes_with_age(cache: Path) -> None:
    note = made(cache, "last/k.json", used=0)
    old = made(cache, "last/old.json", used=-int(cache_limit.KEEP_NOTED_S))
    image = made(cache, "images/a/kernel_shim", used=1, n_bytes=5 * MIB)
    trim()
    assert (note.exists(), old.exists(), image.exists()) == (True, False, False)


def test_scripts_of_the_user_count_and_stay(cache: Path) -> None:
    script = made(cache, "scripts/ALLOC-07.txt", used=0, n_bytes=5 * MIB)
    image = made(cache, "images/a/kernel_shim", used=1)
    trim()
    assert script.exists() and not image.exists()


def test_file_with_two_names_takes_its_room_once(cache: Path) -> None:
    file = made(cache, "target/k/release/deps/big", used=1, n_bytes=3 * MIB)
    (cache / "target/k/release/big").hardlink_to(file)
    assert cache_limit.described().startswith("3 MiB")


@pytest.mark.parametrize("place", FOLDERS)
def test_folder_that_a_living_process_uses_stays(place: str, cache: Path) -> None:
    file = made(cache, f"{place}/big", used=1, n_bytes=5 * MIB)
    with another_process("print(cache_limit.hold_folder(Path(sys.argv[1])), flush=True)", cache / place):
        trim()
        assert file.exists()
    trim()
    assert not file.exists()


def test_folder_in_which_cargo_runs_by_itself_stays(cache: Path) -> None:
    file = made(cache, "target/k-clippy/x86_64/release/big", used=1, n_bytes=5 * MIB)
    lock = made(cache, "target/k-clippy/x86_64/release/.cargo-lock", used=1, n_bytes=0)
    take = "file = open(sys.argv[1], 'rb'); print(fcntl.flock(file, fcntl.LOCK_EX), flush=True)"
    with another_process(take, lock):
        trim()
        assert file.exists()
    trim()
    assert not file.exists()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE])
@pytest.mark.parametrize("lock", ["locks/use-target-k", "target/k/release/.cargo-lock"])
def test_folder_whose_lock_cannot_be_opened_stays(
    cache: Path, monkeypatch: pytest.MonkeyPatch, lock: str, code: int
) -> None:
    """Another user's, or there are too many open files."""
    file = made(cache, "target/k/release/big", used=1, n_bytes=5 * MIB)
    image = made(cache, "images/a/kernel_shim", used=2, n_bytes=5 * MIB)
    made(cache, lock, used=1, n_bytes=0)
    opened = Path.open

    def refused(self: Path, *how: Any, **more: Any) -> Any:
        if self == cache / lock:
            raise OSError(code, os.strerror(code), str(self))
        return opened(self, *how, **more)

    monkeypatch.setattr(Path, "open", refused)
    trim()
    assert file.exists() and not image.exists()


@pytest.mark.parametrize(
    ("code", "stays"), [(errno.EIO, True), (errno.ENOLCK, False), (errno.ENOTSUP, False)]
)
def test_folder_goes_where_its_file_system_has_no_locks(
    cache: Path, monkeypatch: pytest.MonkeyPatch, code: int, stays: bool
) -> None:
    def lock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    file = made(cache, "target/k/release/big", used=1, n_bytes=5 * MIB)
    monkeypatch.setattr("fcntl.flock", lock)
    trim()
    assert file.exists() == stays


def test_folder_s_last_use_counts_not_its_last_change(cache: Path) -> None:
    used_now = made(cache, "ir/target/old/big", used=1, n_bytes=3 * MIB)
    changed_later = made(cache, "target/new/big", used=2, n_bytes=3 * MIB)
    with cache_limit.used(cache / "ir" / "target" / "old"):
        pass
    trim()
    assert (used_now.exists(), changed_later.exists()) == (True, False)


def test_what_a_home_of_cargo_links_to_stays(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    users = tmp_path_factory.mktemp("users")
    crate = made(users, "registry/crate", used=1, n_bytes=5 * MIB)
    made(cache, "cargo/1/config.toml", used=1, n_bytes=5 * MIB)
    (cache / "cargo/1/registry").symlink_to(users / "registry")
    assert cache_limit.described().startswith("5 MiB")
    trim()
    assert crate.exists() and not (cache / "cargo/1").exists()


def test_what_nobody_used_for_a_week_goes_though_there_is_room(cache: Path) -> None:
    week = -int(cache_limit.KEEP_S)
    places = ("images/a/kernel_shim", "notes/k.json", "dwarf/k.json", "cargo/1/config.toml")
    old = [made(cache, place, used=week, n_bytes=1) for place in places]
    held = made(cache, "images/b/kernel_shim", used=week, n_bytes=1)
    target = made(cache, "target/k/release/big", used=week, n_bytes=1)
    with another_process("print(cache_limit.hold(Path(sys.argv[1])), flush=True)", held):
        trim()
    assert not [file for file in old if file.exists()]
    assert held.exists() and target.exists()


def test_a_folder_with_much_room_is_looked_at_once_in_a_while(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    week = -int(cache_limit.KEEP_S)
    trim()
    old = made(cache, "images/a/kernel_shim", used=week, n_bytes=1)
    trim()
    assert old.exists()
    looked = cache / "locks" / "size"
    for before in (cache_limit.LOOK_AGAIN_S + 1, -3600):  # long ago, or by a clock that was ahead
        looked.write_text(f"{time.time() - before} 0")
        trim()
        assert not old.exists()
        made(cache, "images/a/kernel_shim", used=week, n_bytes=1)
    for damaged in ("?", "0", f"{time.time()} nothing", f"nan {MIB}"):
        looked.write_text(damaged)
        trim()
        assert not old.exists()
        made(cache, "images/a/kernel_shim", used=week, n_bytes=1)
    trim()
    at = looked.read_text().split()[0]
    for name in ("b", "c"):  # each by itself is below half of what may be there
        assert old.exists() and looked.read_text().split()[0] == at
        trim(made(cache, f"images/{name}/kernel_shim", used=0, n_bytes=MIB), cache / "notes" / "none")
    assert not old.exists() and looked.read_text().split()[0] != at
    (cache / "images/c/kernel_shim").unlink()
    trim()
    made(cache, "images/a/kernel_shim", used=week, n_bytes=1)
    made(cache, "images/b/kernel_shim", used=0, n_bytes=MIB)
    trim()
    monkeypatch.setenv(cache_limit.VARIABLE, "2 KiB")
    trim()
    assert not old.exists()


def test_reading_again_what_was_kept_is_a_use(cache: Path) -> None:
    read = partial(elf_cache.cached, "0" * 64, "names", {"name"}, lambda: {"name": 1})
    read()
    [file] = (cache / "dwarf").iterdir()
    os.utime(file, (1, 1))
    assert read() == {"name": 1} and file.stat().st_mtime > 1


def test_image_that_is_not_built_anew_is_used_with_its_note() -> None:
    image = build(frame_module(), "release")
    files = [image.elf, *(build_dir() / "notes").glob("*.json")]
    notes = [file for file in files if file == image.elf or image.sha256 in file.read_text()]
    for file in notes:
        os.utime(file, (at := time.time() - 1000, at))
    build(frame_module(), "release")
    assert len(notes) > 1 and max(file.stat().st_mtime for file in notes[1:]) > at < notes[0].stat().st_mtime


def test_building_for_llvm_ir_trims_and_keeps_what_it_made(
    cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    big = made(cache, "images/a/kernel_shim", used=1, n_bytes=5 * MIB)
    toolchain = replace(find_toolchain(), cargo=tmp_path_factory.mktemp("tools") / "cargo", key="fake")
    made_there = cache / "ir" / "target" / "fake" / "lib.rlib"
    making = f"mkdir -p {made_there.parent}; head -c 9000000 /dev/zero > {made_there}"
    toolchain.cargo.write_text(f"#!/bin/sh\n{making}\n")
    toolchain.cargo.chmod(0o755)
    target_of(toolchain)
    assert made_there.exists() and not big.exists() and not list(cache.glob("ir/crates/*"))


def test_bound_that_is_no_size_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache_limit.VARIABLE, "much")
    with pytest.raises(UsageError, match="FRAME_HARNESS_CACHE_LIMIT: much: expected a size"):
        limit_bytes()


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
