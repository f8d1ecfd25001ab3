"""A guest is held for gdb where a check fails, and a recording tells who wrote a field last."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from frame_harness.cli.main import cli
from frame_harness.debugging.recording import ELF, LOG, NOTE, RecordingError, load
from frame_harness.debugging.replay import Replay
from frame_harness.debugging.rewind import last_write
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.image import Image
from frame_harness.judge.evidence import encode
from frame_harness.judge.exit_codes import ExitCode
from tests.support.doors import CHECK, Door, open_pytest
from tests.support.mutants import Edit, broken

WRONG: Edit = ("meta_aux.store(v, Relaxed)", "meta_aux.store(v & 0xffff, Relaxed)")
"""The build of it is that of a test of histories."""
CLAUSE, FIELD, COMMAND = "FRAME-08", "meta_aux", "slot.meta_aux_store 0x1063000 0x10000"
PROGRAM = (*CHECK[:-1], "debug")
FREE_LISTS = [f"free-list 0 {order}{kind}" for order in range(8, 11) for kind in ("", " movable")]
USERS = """\
import pytest

@pytest.mark.clause("FRAME-08")
def test_it(kernel):
    paddr = kernel.alloc(purpose="user")
    kernel.slot(paddr).meta_aux_store(0x12345)
    assert kernel.slots()["meta_aux"][paddr >> 12] == 0x12345
"""
needs_gdb = pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")


@pytest.fixture(scope="module")
def subject() -> Path:
    return broken([WRONG])


def line_of(subject: Path) -> int:
    lines = subject.read_text(encoding="utf-8").splitlines()
    return 1 + next(at for at, line in enumerate(lines) if WRONG[1] in line)


@contextmanager
def held(folder: Path, subject: Path, *words: str) -> Iterator[tuple[Door, str]]:
    """The program with a guest that waits for gdb, and the command that starts gdb."""
    options = ("--frame-rs", subject, "--machine", "microvm")
    with Door([*PROGRAM, CLAUSE, *options, *words], folder) as door:
        yield door, shown_command(door, folder)


def shown_command(door: Door, folder: Path) -> str:
    assert door.said("; Ctrl-C "), door.end()
    out = (folder / "output.txt").read_text(encoding="utf-8")
    found = re.search(r"(?m)^  (gdb .*)$", out)
    assert found, out
    return found[1]


def setup_of(command: str) -> Path:
    """The file of commands that gdb reads first."""
    return Path(shlex.split(command)[shlex.split(command).index("-x") + 1])


def socket_folder(command: str) -> Path:
    return setup_of(command).parent


def gdb(command: str, *more: str) -> str:
    """What gdb says, started as a person would who copied the command, with more commands behind."""
    words = [*shlex.split(command), "-batch", *(word for each in more for word in ("-ex", each))]
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr


@needs_gdb
def test_gdb_as_printed_stops_at_the_findings_line_with_source_and_arguments(
    subject: Path, tmp_path: Path
) -> None:
    launch = tmp_path / "launch.json"
    with held(tmp_path, subject, "--vscode", str(launch)) as (door, command):
        assert "/debugging/in_gdb.py\n" in setup_of(command).read_text(encoding="utf-8")
        said = gdb(command, "print *self", "slot 0x1063000", "slot -1", "zones", *FREE_LISTS, "detach")
        status, out = door.end()
        assert not door.living()
    assert f"stands before command 11 of 11: {COMMAND}" in out and "it failed as before" in out, out
    assert status == ExitCode.FAIL
    assert re.search(
        rf"MetaSlot::meta_aux_store \(self=0x\w+, v=65536\) at {subject}:{line_of(subject)}", said
    )
    assert f"{line_of(subject)}\t        self.{WRONG[1]}" in said
    decoded = "next=none, prev=none, vtable=none, flags=ALLOCATED|KERNEL, order=0, refcount=1, generation="
    assert f"= MetaSlot {{frame 0x1063000, {decoded}" in said, said
    assert re.search(rf"frame 0x1063000, slot at 0x\w+: {re.escape(decoded)}", said), said
    assert "-0x1: no frame with a slot; there are 6144" in said, said
    assert re.search(r"1 Zone \{0x1000000\.\.0x1800000, managed=\d+, free=\d+, cached=\d+", said), said
    assert re.search(r"(?m)^0x\w+ next=.*flags=FREE.*, refcount=unused", said), said
    assert str(socket_folder(command)) in launch.read_text(encoding="utf-8")
    assert not socket_folder(command).exists()


def test_ctrl_c_ends_a_guest_that_a_debugger_holds(subject: Path, tmp_path: Path) -> None:
    with held(tmp_path, subject, "--before-last") as (door, command), socket.socket(socket.AF_UNIX) as stub:
        stub.connect(str(socket_folder(command) / "gdb"))  # which is all that QEMU knows of a debugger
        assert door.said("gdb is attached")
        door.process.send_signal(signal.SIGINT)
        status, out = door.end()
        assert (status, door.left_behind()) == (ExitCode.INTERRUPTED, ()), out
    assert not socket_folder(command).exists()


def test_ctrl_c_while_a_guest_waits_for_gdb_says_nothing_against_its_subject(
    subject: Path, tmp_path: Path
) -> None:
    words = ("--gdb", "--machine", "microvm", "--frame-rs", subject)
    with open_pytest(tmp_path, USERS, *words, evidence=False) as door:
        shown_command(door, tmp_path)
        door.process.send_signal(signal.SIGINT)
        status, out = door.end()
        assert door.left_behind() == ()
    assert status == pytest.ExitCode.INTERRUPTED and "got killed" not in out, out


def test_nothing_is_left_of_a_session_that_was_killed_while_it_waited(subject: Path, tmp_path: Path) -> None:
    words = ("--gdb", "--machine", "microvm", "--frame-rs", subject)
    with open_pytest(tmp_path, USERS, *words, evidence=False) as door:
        command = shown_command(door, tmp_path)
        assert socket_folder(command).is_dir()
        door.process.kill()
        assert door.left_behind() == ()
    assert not socket_folder(command).exists()


@needs_gdb
def test_pytest_waits_for_gdb_when_a_check_fails_and_goes_on_when_it_has_detached(
    subject: Path, tmp_path: Path
) -> None:
    words = ("--gdb", "--trace-config", "--machine", "microvm", "--frame-rs", subject)
    with open_pytest(tmp_path, USERS, *words, evidence=False) as door:
        said = gdb(shown_command(door, tmp_path), "slot 0x1060000", "detach")
        status, out = door.end()
        assert not door.living()
    assert "frame_harness.debugging.pytest_gdb" in out, out
    assert "flags=ALLOCATED|USER|MOVABLE" in said and "meta_aux=0x2345" in said, said
    assert status == pytest.ExitCode.TESTS_FAILED and "1 failed" in out, out


def test_checks_of_several_processes_are_not_held(tmp_path: Path) -> None:
    words = ("--gdb", "-p", "xdist.plugin", "-n", "2")
    with open_pytest(tmp_path, USERS, *words, evidence=False) as door:
        status, out = door.end()
    assert status == pytest.ExitCode.USAGE_ERROR and "leave -n away" in out


def test_a_name_that_no_check_has_is_one_message(tmp_path: Path) -> None:
    with Door([*PROGRAM, "test_meta_aux", "--machine", "microvm"], tmp_path) as door:
        status, out = door.end()
    assert status == ExitCode.USAGE
    assert "expected a check's name, or a clause's id" in out and "test_meta_aux_holds_any_word" in out, out


@pytest.fixture(scope="module")
def recorded(subject: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recording."""
    folder = tmp_path_factory.mktemp("recorded")
    options = ("--frame-rs", subject, "--machine", "microvm", "--record")
    with Door([*PROGRAM, CLAUSE, *options], folder) as door:
        status, out = door.end()
    found = re.search(r"recorded \d+ commands in (\S+)", out)
    assert found and status == ExitCode.FAIL, out
    # Without the folder, another machine or profile than that of `rewind` would be recorded anew.
    assert f"frame-harness rewind {CLAUSE} FIELD --recording {found[1]}" in out
    return Path(found[1])


def test_recording_tells_who_wrote_a_field_last(recorded: Path, subject: Path) -> None:
    note = load(recorded)
    image = Image(recorded / ELF, note.elf_sha256, note.check.run.profile, frame_module(note.subject))
    first = last_write(recorded, note, image, FIELD, None)  # which refuses where a second replay differs
    assert first.write is not None
    assert (first.frame, first.write.before, first.write.after) == (0x1063000, 0, 0)
    assert first.during.endswith(COMMAND)
    assert "MetaSlot::meta_aux_store in " in first.by and first.by.endswith(f"({subject}:{line_of(subject)})")
    assert any("dispatch" in line for line in first.called_from)


def changed(recorded: Path, folder: Path, **changes: object) -> Path:
    """A copy of a recording whose note says something else."""
    copy = folder / "copy"
    shutil.copytree(recorded, copy)
    (copy / NOTE).write_text(encode(replace(load(copy), **changes)), encoding="utf-8")
    return copy


@pytest.mark.parametrize("file", [LOG, ELF])
def test_recording_with_a_damaged_file_is_one_message(file: str, recorded: Path, tmp_path: Path) -> None:
    copy = changed(recorded, tmp_path)
    copy.chmod(0o755)
    (copy / file).chmod(0o644)
    (copy / file).write_bytes((copy / file).read_bytes()[:-1])
    with pytest.raises(RecordingError, match=f"{file} is not what was recorded"):
        load(copy)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"append": "nonce=0 init=none onpanic=recover"},
            "its replay (hangs after 0 of|prints something else)",
        ),
        ({"memory": "0" * 64}, r"leaves other bytes in RAM\nnext: a check that writes to guest RAM itself"),
        ({"qemu_version": "1.2.3"}, r"made by QEMU 1\.2\.3, this one is"),
        ({"argv": ("qemu",)}, "starts QEMU in another way"),
    ],
    ids=["other-boot", "other-memory", "other-qemu", "other-arguments"],
)
def test_recording_of_another_run_is_one_message(
    changes: dict[str, object], words: str, recorded: Path, tmp_path: Path
) -> None:
    copy = changed(recorded, tmp_path, **changes)
    with pytest.raises(RecordingError, match=words):
        list(Replay(copy, load(copy), stall_s=1.0).writes(load(copy).meta_paddr, 4))


def test_the_program_shows_the_last_writer(recorded: Path) -> None:
    done = CliRunner().invoke(cli, ["rewind", CLAUSE, "refcount", "--recording", str(recorded)])
    assert done.exit_code == ExitCode.PASS, done.output
    assert "refcount of frame 0x1063000" in done.output and "value      0x0 → 0x1" in done.output
    assert "command 10 of 11: alloc new" in done.output and "MetaSlot::" in done.output
