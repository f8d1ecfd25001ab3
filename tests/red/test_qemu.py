"""Proves that nothing which stands in for QEMU, or ends it, is ever a pass."""

from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from frame_harness.judge.exit_codes import ExitCode, VerdictKind, exit_code
from tests.support.doors import Judged, announced, busy, check, close_check, open_check, write_machine
from tests.support.fake_qemu import TALKS_QMP

ONE_CHECK = ("--profile", "release", "-n", "1", "-k", "CONST-01")
IMPATIENT_S = 1.0  # for a program that never does anything


def write_program(folder: Path, text: str, *, name: str = "fake-qemu") -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def shell(folder: Path, text: str) -> Path:
    return write_program(folder, f"#!/bin/sh\n{text}\n")


def talker(folder: Path, after_cont: str) -> Path:
    """A program that shakes hands like QEMU, then does this."""
    text = TALKS_QMP.replace("AFTER_CONT", after_cont.replace("\n", "\n        "))
    return write_program(folder, f"#!{sys.executable} -S\n{text}")


def judged(folder: Path, qemu: Path | str) -> Judged:
    machine = write_machine(folder, qemu=qemu, stall_s=IMPATIENT_S)
    result = check(folder, "--machine", machine, *ONE_CHECK)
    assert result.survivors == ()
    assert result.kind is not None, result.out
    assert result.status == exit_code(result.kind)
    assert result.report["clauses"]["CONST-01"]["outcome"] == "not-evaluated"
    return result


def test_a_qemu_that_exits_with_0_at_once_is_an_error(tmp_path: Path) -> None:
    result = judged(tmp_path, shell(tmp_path, "exit 0"))
    assert (result.kind, result.says("ended at once with status 0: it said nothing")) == (
        VerdictKind.ERROR,
        True,
    )


def test_a_qemu_in_the_path_that_exits_at_once_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    write_program(folder, "#!/bin/sh\nexit 0\n", name="qemu-system-x86_64")
    path = f"{folder}:{os.environ['PATH']}"
    result = check(tmp_path, "--machine", "microvm", *ONE_CHECK, env={"PATH": path})
    assert (result.status, result.kind, result.survivors) == (ExitCode.ERROR, VerdictKind.ERROR, ())
    assert result.says("ended at once with status 0")


def test_a_qemu_that_refuses_is_an_error_in_its_own_words(tmp_path: Path) -> None:
    result = judged(tmp_path, shell(tmp_path, "echo 'qemu: no such machine: microvm' >&2; exit 1"))
    assert result.kind is VerdictKind.ERROR
    assert result.says("ended at once with status 1: qemu: no such machine: microvm")


def test_a_qemu_that_ignores_everything_is_an_error(tmp_path: Path) -> None:
    result = judged(tmp_path, shell(tmp_path, "trap '' TERM INT HUP\nexec tail -f /dev/null"))
    assert (result.kind, result.says("used no CPU time for")) == (VerdictKind.ERROR, True)


def test_garbage_on_both_sockets_is_an_error(tmp_path: Path) -> None:
    noise = (
        "noise = bytes(range(256)) * 64\nwhile True:\n    monitor.sendall(noise); console.sendall(noise)\n"
    )
    text = TALKS_QMP.partition("def send(")[0] + noise
    result = judged(tmp_path, write_program(tmp_path, f"#!{sys.executable} -S\n{text}"))
    assert (result.kind, result.says("not QMP")) == (VerdictKind.ERROR, True)


def test_a_qemu_whose_console_stays_silent_is_a_timeout(tmp_path: Path) -> None:
    result = judged(tmp_path, talker(tmp_path, "signal.pause()"))
    assert (result.kind, result.says("used no CPU time")) == (VerdictKind.TIMEOUT, True)


def test_a_qemu_that_exits_like_a_guest_that_passed_is_an_error(tmp_path: Path) -> None:
    result = judged(tmp_path, talker(tmp_path, "os._exit(33)"))
    assert (result.kind, result.says("guest gone")) == (VerdictKind.ERROR, True)


def test_a_qemu_that_dies_by_a_signal_is_an_error(tmp_path: Path) -> None:
    result = judged(tmp_path, talker(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)"))
    assert (result.kind, result.says("signal SIGSEGV")) == (VerdictKind.ERROR, True)


def test_a_missing_qemu_is_a_usage_error_of_the_machine_s_file(tmp_path: Path) -> None:
    machine = write_machine(tmp_path, qemu="qemu-that-nobody-has")
    result = check(tmp_path, "--machine", machine, *ONE_CHECK)
    assert (result.status, result.kind, result.survivors) == (ExitCode.USAGE, None, ())
    assert result.says("qemu: qemu-that-nobody-has: not found") and result.says(
        "next: correct the key `qemu`"
    )


def test_a_file_that_is_no_program_is_an_error(tmp_path: Path) -> None:
    result = judged(tmp_path, write_program(tmp_path, "\x00\x01no program"))
    assert result.kind is VerdictKind.ERROR
    assert "Traceback" not in result.out


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=lambda signum: signum.name)
def test_a_qemu_that_is_killed_in_the_middle_of_a_check_is_an_error(
    signum: signal.Signals, tmp_path: Path
) -> None:
    """The guest spins for longer than the test may last: only the signal ends it."""
    with announced(tmp_path) as announcer:
        machine = write_machine(tmp_path, qemu=announcer.program, cpu_s=3600)
        arguments = ("--machine", machine, *ONE_CHECK, "--red", "hang-spin")
        with open_check(tmp_path, *arguments) as door:
            pid = announcer.next_pid()
            assert busy(pid, 1.0), "QEMU ended by itself"
            os.kill(pid, signum)
            result = close_check(door, tmp_path)
    assert (result.status, result.kind, result.survivors) == (ExitCode.ERROR, VerdictKind.ERROR, ())
    assert result.says("killed by a signal that the harness did not send") or result.says("host-signal")
