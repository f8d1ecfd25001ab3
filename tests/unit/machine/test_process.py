"""Proves that one process is owned from spawn to reap."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from frame_harness.machine.process import QemuProcess
from tests.conftest import own_qemus

Spawn = Callable[..., QemuProcess]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    born: list[QemuProcess] = []

    def start(code: str) -> QemuProcess:
        born.append(QemuProcess([sys.executable, "-S", "-c", code], ()))
        return born[-1]

    yield start
    for process in born:
        process.close()
        process.close()


def wait_for(process: QemuProcess) -> None:
    while not process.ended(1.0):
        pass


def test_return_code_is_that_of_the_program(spawn: Spawn) -> None:
    process = spawn("raise SystemExit(33)")
    wait_for(process)
    assert process.returncode == 33 == process.kill()


def test_cpu_time_grows_with_work_and_stands_after_the_end(spawn: Spawn) -> None:
    process = spawn("while True: pass")
    while process.cpu_time_s() < 0.2:
        assert not process.ended(0.01)
    process.kill()
    assert process.cpu_time_s() >= 0.2


def test_cpu_time_counts_every_thread(spawn: Spawn) -> None:
    process = spawn(
        "import threading\nt = threading.Thread(target=lambda: sum(range(10**7)))\nt.start()\nt.join()"
    )
    seen = 0.0
    while not process.ended(0.01):
        seen = process.cpu_time_s()
    assert seen > 0.05


def test_thread_states_are_those_of_the_kernel(spawn: Spawn) -> None:
    process = spawn("import signal; print('x', flush=True); signal.pause()")
    while process.thread_state(process.pid) is None or process.stderr_text() != "x\n":
        assert not process.ended(0.01)
    while (state := process.thread_state(process.pid)) is None or state[0] != "S":
        assert not process.ended(0.01)
    assert process.thread_state(1 << 22) is None


def test_output_of_both_streams_is_kept_after_the_end(spawn: Spawn) -> None:
    process = spawn("import sys; print('out', flush=True); print('err', file=sys.stderr)")
    wait_for(process)
    process.close()
    assert process.stderr_text() == "out\nerr\n"


def is_running(process: Path) -> bool:
    try:
        return (process / "stat").read_text(encoding="ascii").split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # while it is opened; while it is read
        return False


def test_children_of_the_process_die_with_it(spawn: Spawn) -> None:
    process = spawn(
        "import subprocess as s; p = s.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
    )
    while not process.stderr_text().endswith("\n"):
        assert not process.ended(0.01)
    child = Path("/proc") / process.stderr_text().strip()
    process.kill()
    while is_running(child):
        pass


def test_children_of_a_process_that_ended_by_itself_die_with_it(spawn: Spawn) -> None:
    process = spawn("import subprocess as s; print(s.Popen(['sleep', '600']).pid, flush=True)")
    wait_for(process)
    child = Path("/proc") / process.stderr_text().strip()
    while is_running(child):
        pass


def test_process_runs_in_a_group_of_its_own(spawn: Spawn) -> None:
    process = spawn("import os; print(os.getpgrp() == os.getpid(), flush=True)")
    wait_for(process)
    assert process.stderr_text() == "True\n"


def test_program_that_cannot_be_executed_ends_with_the_shells_words(tmp_path: Path) -> None:
    path = tmp_path / "not-a-program"
    path.write_bytes(b"\x7fELF nothing")
    path.chmod(0o755)
    process = QemuProcess([str(path)], ())
    wait_for(process)
    assert process.returncode in (126, 127, 2) and "not-a-program" in process.stderr_text()
    process.close()


def test_qemu_that_the_harness_forgot_is_seen_by_the_watch_over_tests(tmp_path: Path) -> None:
    program = tmp_path / "qemu-forgotten"
    program.symlink_to("/bin/cat")
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()  # it is what it was started as by now
        assert child.pid in own_qemus()
        child.stdin.close()
        child.wait()
        assert child.pid not in own_qemus()
