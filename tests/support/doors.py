"""Goes through the doors that users go through, in processes of their own, then looks for what they left."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from frame_harness.archive.runs import VARIABLE
from frame_harness.judge.evidence import Evidence, decode
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.verdict import Verdict
from frame_harness.machine.definition import DEFAULT_QEMU
from frame_harness.machine.firmware import find_qemu
from tests.support import red_kernels
from tests.support.forked import MAIN, MARK, Process, may_fork, server_for
from tests.support.judging import judge
from tests.support.red_kernels import red_environment

ROOT = red_kernels.ROOT
SOURCES = ROOT / "harness"
"""The folder that holds the package, for PYTHONPATH."""
CHECK = (sys.executable, "-c", MAIN, "check")
PYTEST = (
    *(sys.executable, "-m", "pytest", "-c", "no-pytest.ini", "--rootdir=."),
    *("-p", "frame_harness.session.plugin", "-p", "no:cacheprovider"),
)
ASKING = ("-p", "tests.support.asking")
"""Lets pytest take options that no user has."""
PATIENCE_S = 900.0
"""For a whole process, on a host that is busy with other things; every limit of a guest is far below."""
GONE_S = 60.0
# They change what a program judges or, for pytest, how it prints its summary.
WORDS_OF_THE_CALLER = frozenset({"FRAME_RS", "KERNEL_SRC", "CI", "BUILD_NUMBER", "PYTEST_ADDOPTS"})

# As microvm.toml, with little patience: what these guests do wrong, they do at once.
MACHINE = """\
type = "microvm"
ram = "24 MiB"
firmware = "qboot"
qemu = {qemu}

[options]
auto-kernel-cmdline = false
x-option-roms = false

[limits]
boot_cpu_s = {cpu_s}
request_cpu_s = {cpu_s}
stall_wall_s = {stall_s}
boot_bytes = 262144
console_bytes = 262144
"""


def write_machine(
    folder: Path, *, qemu: str | Path = DEFAULT_QEMU, cpu_s: float = 3.0, stall_s: float = 60.0
) -> Path:
    """Write the definition of a machine whose limits are soon reached."""
    path = folder / "impatient.toml"
    path.write_text(MACHINE.format(qemu=json.dumps(str(qemu)), cpu_s=cpu_s, stall_s=stall_s))
    return path


@dataclass
class Judged:
    """What one process said and left."""

    status: int
    out: str
    kind: VerdictKind | None
    report: dict[str, Any] = field(default_factory=dict)
    survivors: tuple[psutil.Process, ...] = ()

    @property
    def codes(self) -> set[str]:
        """What stands against a pass."""
        return {reason["code"] for reason in self.report.get("reasons", [])}

    @property
    def violated(self) -> set[str]:
        """Ids of the clauses that were found broken."""
        clauses = self.report.get("clauses", {}).items()
        return {id_ for id_, judgement in clauses if judgement["outcome"] == "violated"}

    def says(self, words: str) -> bool:
        """Whether the output has these words, however its lines are broken."""
        return " ".join(words.split()) in " ".join(self.out.split())


class Door:
    """One process that judges, with a mark in its environment that all it starts inherits.

    With `--red` it is one of the copy of the project whose kernel misbehaves.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        folder: Path,
        env: dict[str, str] | None = None,
        forks: bool = False,
    ) -> None:
        """Start it.

        Args:
            forks: it may be forked from a process that has imported the program; `argv` begins as `CHECK`.
        """
        self._mark = uuid.uuid4().hex
        environment = {
            **os.environ,
            "PYTHONPATH": f"{SOURCES}:{ROOT}",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        for name in WORDS_OF_THE_CALLER & environment.keys():
            del environment[name]
        if "--red" in argv:
            environment |= red_environment()
        # Evidence costs a failing check more than its guest: kept where a test names a folder for it.
        environment |= {MARK: self._mark, VARIABLE: "0", **(env or {})}
        for name in [name for name in environment if name.startswith("PYTEST_XDIST")]:
            del environment[name]
        self._log = (folder / "output.txt").open("w+")
        words = [os.fspath(word) for word in argv]
        if forks and may_fork(environment):
            server = server_for(environment)
            self.process: Process = server.fork(words[3:], folder, environment, self._log.fileno())
        else:
            self.process = subprocess.Popen(
                words,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        for process in self.living():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        self._log.close()

    def living(self) -> list[psutil.Process]:
        """Every process that runs and inherited the mark, whoever its parent is now."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid != os.getpid() and process.environ().get(MARK) == self._mark:
                    found.append(process)
        return found

    def end(self) -> tuple[int, str]:
        """Wait for the end of the process; return its status with all that it printed."""
        status = self.process.wait(PATIENCE_S)
        self._log.seek(0)
        return status, self._log.read()

    def said(self, words: str, times: int = 1) -> bool:
        """Wait until the process printed some words so often; false when it is over before."""
        while Path(self._log.name).read_text(errors="replace").count(words) < times:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.02)
                return False
        return True

    def left_behind(self) -> tuple[psutil.Process, ...]:
        """What still runs when everything had time to end: the kernel ends a killed process's guests."""
        _, alive = psutil.wait_procs(self.living(), timeout=GONE_S)
        return tuple(alive)


def open_check(
    folder: Path, *arguments: str | Path, env: dict[str, str] | None = None, forks: bool = False
) -> Door:
    """Start `frame-harness check`."""
    return Door([*CHECK, "--json", folder / "report.json", *arguments], folder, env, forks)


def close_check(door: Door, folder: Path) -> Judged:
    """Wait until `frame-harness check` is over; return what it made of it."""
    status, out = door.end()
    left = tuple(door.living())
    file = folder / "report.json"
    report = json.loads(file.read_text()) if file.exists() else {}
    return Judged(status, out, VerdictKind(report["verdict"]) if report else None, report, left)


def check(
    folder: Path, *arguments: str | Path, env: dict[str, str] | None = None, forks: bool = True
) -> Judged:
    """Run `frame-harness check` to its end.

    Args:
        forks: it may be forked. Programs of one worker of pytest then order sets in the same way, so what is
            compared with another run, word for word, is to be started instead.
    """
    with open_check(folder, *arguments, env=env, forks=forks) as door:
        return close_check(door, folder)


def open_pytest(
    folder: Path,
    test: str,
    *arguments: str | Path,
    evidence: bool = True,
    env: dict[str, str] | None = None,
) -> Door:
    """Start pytest with the plugin on a user's own test file."""
    (folder / "no-pytest.ini").write_text("[pytest]\n")
    file = folder / "test_user.py"
    file.write_text(test)
    asking: list[str | Path] = [*ASKING, "--evidence", folder / "evidence.json"] if evidence else []
    return Door([*PYTEST, *asking, file, *arguments], folder, env)


def evidence_of(folder: Path) -> tuple[Evidence, Verdict]:
    """What pytest saw, with the verdict on it."""
    evidence = decode((folder / "evidence.json").read_bytes(), Evidence)
    return evidence, judge(evidence)


class Announcer:
    """A program that tells its process id, then becomes QEMU: nobody has to guess when a guest runs."""

    def __init__(self, folder: Path) -> None:
        qemu = shlex.quote(find_qemu(DEFAULT_QEMU))
        self.program = folder / "announced-qemu"
        fifo = folder / "started"
        os.mkfifo(fifo)
        # Open both ways: neither side waits for the other to open it.
        self._file = os.open(fifo, os.O_RDWR)
        said = f'[ "$1" = --version ] || echo $$ > "{fifo}"'  # asked for its version it is no guest
        self.program.write_text(f'#!/bin/sh\n{said}\nexec {qemu} "$@"\n')
        self.program.chmod(0o755)

    def next_pid(self) -> int:
        """Wait for the next QEMU; return its process id."""
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._file], [], [], PATIENCE_S)
            assert ready, "no QEMU was started"
            line += os.read(self._file, 1)
        return int(line)

    def forget(self) -> None:
        """Read past what was announced so far."""
        while select.select([self._file], [], [], 0)[0]:
            os.read(self._file, 1024)

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._file)


@contextlib.contextmanager
def announced(folder: Path) -> Iterator[Announcer]:
    """An announcer for the time of a test."""
    announcer = Announcer(folder)
    try:
        yield announcer
    finally:
        announcer.close()


def busy(pid: int, cpu_s: float) -> bool:
    """Wait until a process has used some CPU time; false when it is over before."""
    try:
        process = psutil.Process(pid)
        while sum(process.cpu_times()[:2]) < cpu_s:
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(0.02)
                return False
    except psutil.NoSuchProcess:
        return False
    return True
