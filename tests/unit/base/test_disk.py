"""What cannot be written is named, with the reason and what to do; a small file system really is full."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from frame_harness.base.commands import TOLD
from frame_harness.base.disk import Unwritable, refused, run_writing, scratch, unwritable, writing
from frame_harness.base.errors import HarnessError
from frame_harness.cli import fuzz as fuzz_command
from frame_harness.cli.fuzz import FuzzRequest
from frame_harness.frame_histories.commands import decode
from frame_harness.frame_histories.lockstep import BootConfig
from frame_harness.frame_histories.scripts import Script
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.boot_options import AS_USUAL
from frame_harness.image.build import build
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.steering import folder as saved_scripts
from tests.support.doors import CHECK
from tests.support.small_disk import run_on

MAIN = CHECK[:-1]
QUICK = ("check", "--machine", "microvm", "--profile", "release", "-k", "CONST-01")


@pytest.fixture(autouse=True)
def nothing_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOLD, raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


@pytest.fixture(scope="module")
def built() -> None:
    """What these runs judge is there already: they are about other things than the build of an image."""
    build(frame_module(), "release")


def told_once(run: subprocess.CompletedProcess[str], first: str) -> str:
    """Return the one line of a run's output that begins like this; no other says the same."""
    assert "Traceback" not in run.stdout + run.stderr
    lines = [line.strip() for line in (run.stdout + run.stderr).splitlines()]
    found = [line for line in lines if first in line]
    assert len(found) == 1, run.stdout + run.stderr
    assert len([line for line in lines if line.startswith("next: ")]) == 1
    return found[0]


# ---- a small file system ----------------------------------------------------------------------------------


def test_llvm_ir_without_room_names_the_place_and_the_compiler_s_words(tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    run = run_on(place, "100k", [*MAIN, "orderings"], env={"TMPDIR": str(place)})
    assert run.returncode == ExitCode.ERROR, run.stderr
    assert told_once(run, "disk full").startswith(f"error: disk full: {place}/frame-harness-")
    assert "No space left on device" in run.stderr and "set TMPDIR to another folder" in run.stderr


def test_source_for_the_compiler_without_room_names_the_copy(tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    run = run_on(place, "8k", [*MAIN, "orderings"], env={"TMPDIR": str(place)})
    assert run.returncode == ExitCode.ERROR
    assert told_once(run, "disk full").startswith(f"error: disk full: {place}/frame-harness-")


def test_names_of_a_module_that_cannot_be_asked_for_are_a_full_disk(tmp_path: Path) -> None:
    subject, place = tmp_path / "frame.rs", tmp_path / "tmp"
    subject.write_text(frame_module().path.read_text() + f"// {tmp_path}\n")
    run = run_on(place, "100k", [*MAIN, *QUICK, "--frame-rs", subject], env={"TMPDIR": str(place)})
    assert run.returncode == ExitCode.ERROR
    assert f"build: disk full: {place}/frame-harness-" in told_once(run, "disk full")
    assert "{" not in run.stdout


@pytest.mark.usefixtures("built")
def test_what_was_seen_needs_no_room_to_be_judged(tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    run = run_on(place, "4k", [*MAIN, *QUICK], env={"TMPDIR": str(place)})
    assert run.returncode == ExitCode.PASS, run.stdout + run.stderr


@pytest.mark.usefixtures("built")
def test_report_without_room_is_named_and_leaves_no_part_while_another_is_written(tmp_path: Path) -> None:
    place = tmp_path / "reports"
    argv: list[str | Path] = [*MAIN, *QUICK, "--json", place / "r.json", "--junit", place / "r.xml"]
    run = run_on(place, "4k", ["sh", "-c", '"$@"; echo "status $?"; ls "$0"', place, *argv])
    assert f"error: disk full: {place}/r.json: 0 KiB free of 4 KiB" in told_once(run, "disk full")
    assert "next: make room there, or name another file" in run.stderr
    assert run.stdout.splitlines()[-2:] == [f"status {int(ExitCode.ERROR)}", "r.xml"]


@pytest.mark.parametrize("state", ["full", "read-only"])
def test_build_folder_that_cannot_be_written_is_named(state: str, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    run = run_on(place, "1m", [*MAIN, *QUICK], state=state, env={"FRAME_HARNESS_CACHE": str(place)})
    assert run.returncode == ExitCode.ERROR
    words = {"full": f"build: disk full: {place}", "read-only": f"build: cannot be written: {place}/locks/"}
    assert words[state] in run.stdout and "set FRAME_HARNESS_CACHE to another folder" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr
    assert (run.stdout + run.stderr).count("note: ") == 1


@pytest.mark.parametrize("state", ["full", "read-only"])
def test_folder_for_scripts_that_cannot_be_written_is_named_before_anything_is_played(
    state: str, tmp_path: Path
) -> None:
    place = tmp_path / "scripts"
    run = run_on(place, "4k", [*MAIN, "fuzz", "--commands", "1", "--scripts", place], state=state)
    assert run.returncode == ExitCode.ERROR and "fuzz: built-in" not in run.stdout
    words = {"full": "disk full", "read-only": "cannot be written"}
    assert told_once(run, words[state]).startswith(f"error: {words[state]}: {place}")
    assert "--scripts" in run.stderr


def test_what_is_not_kept_for_the_next_time_is_told_once_and_changes_nothing(tmp_path: Path) -> None:
    text = """
import subprocess, sys
from frame_harness.image.elf_cache import cached
for what in ("names", "lines"):
    assert cached("0" * 64, what, {"key"}, lambda: {"key": 1}) == {"key": 1}
if sys.argv[1:]:
    subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
"""
    place = tmp_path / "cache"
    argv = [sys.executable, "-c", text, text]
    run = run_on(place, "4k", argv, state="read-only", env={"FRAME_HARNESS_CACHE": str(place)})
    assert run.returncode == 0, run.stderr
    [line] = run.stderr.splitlines()
    assert line.startswith(f"note: cannot be written: {place}/dwarf/") and "Read-only file system" in line


# ---- each kind of error -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_each_reason_is_named_with_the_file_and_a_next_step(code: int, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    with pytest.raises(Unwritable) as raised, writing(file):
        raise OSError(code, "reason", str(tmp_path / ".report.json.abc"))
    assert str(file) in raised.value.summary and raised.value.next_step
    assert raised.value.summary.startswith("disk full" if code in (errno.ENOSPC, errno.EDQUOT) else "cannot")


def test_copy_that_fails_names_the_file_that_was_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(Unwritable, match=f"{tmp_path}/new") as raised, writing(tmp_path):
        raise OSError(errno.ENOSPC, "reason", "/source/old", None, str(tmp_path / "new"))
    assert "/source/old" not in str(raised.value)


def test_file_that_may_not_be_read_is_not_one_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), scratch("test"):
        raise PermissionError(errno.EACCES, "reason", str(tmp_path / "frame.rs"))
    assert unwritable(PermissionError(errno.EACCES, "reason", "frame.rs")) is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ld: final link failed: No space left on device", "disk full"),
        ("error: copying failed (os error 28)", "disk full"),
        ("Disk quota exceeded", "disk full: {}: Disk quota exceeded"),
        ("error: failed to write /x: Read-only file system (os error 30)", "cannot be written"),
        ("couldn't create a temp dir: Permission denied (os error 13)", "cannot be written"),
        ('{"message":"failed to write to `x`: Permission denied (os error 13)"}', "cannot be written"),
        ('{"reason":"x","message":{"message":"failed to write x: No space left on device"}}', "disk full"),
    ],
)
def test_tool_that_cannot_write_is_recognized_by_its_words(said: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(Unwritable) as raised:
        run_writing(tmp_path, ["sh", "-c", 'echo "error: other"; echo "$0" >&2; exit 1', said], what="trying")
    assert raised.value.summary.startswith(words.format(tmp_path))
    assert raised.value.said in said and raised.value.said and "{" not in raised.value.said


@pytest.mark.parametrize(
    "said", ["ld: undefined symbol", "could not exec the linker `cc`: Permission denied (os error 13)"]
)
def test_tool_that_fails_for_something_else_is_no_full_disk(said: str, tmp_path: Path) -> None:
    assert refused(tmp_path, said) is None


def test_no_folder_for_temporary_files_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.gettempdir", none)
    with pytest.raises(HarnessError, match="temporary files: No usable") as raised, scratch():
        pass
    assert "TMPDIR" in raised.value.next_step


def test_finding_is_shown_though_its_script_cannot_be_saved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = Script("q35", "dev", BootConfig("small", AS_USUAL), (decode("alloc new"),), "ALLOC-07", seen="x")

    def full(path: Path, _: bytes) -> NoReturn:
        raise Unwritable(path, errno.ENOSPC)

    monkeypatch.setattr(saved_scripts, "write_whole", full)
    with pytest.raises(Unwritable, match="ALLOC-07-dev"):
        fuzz_command._save(script, 9, tmp_path, FuzzRequest(1))
    assert "ALLOC-07" in capsys.readouterr().out
