"""A program that is forked for a test is as one that was started: same state, same words, same status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frame_harness.judge.exit_codes import ExitCode
from tests.support.doors import CHECK, ROOT, SOURCES, Door
from tests.support.forked import MARK, NO_MARK, Server, may_fork
from tests.support.mutants import broken
from tests.support.same_evidence import timeless, timeless_lines

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")},
    "PYTHONPATH": f"{SOURCES}:{ROOT}",
}
PROGRAM = """
import gc, json, locale, os, resource, signal, sys, tempfile, threading
LIMITS = [getattr(resource, one) for one in dir(resource) if one.startswith("RLIMIT_")]
STREAMS = sys.stdin, sys.stdout, sys.stderr
BEGAN = open("/proc/self/environ").read()
if sys.argv[1:] == ["leaves a child"]:
    os.fork() or signal.pause()
elif sys.argv[1:] == ["waits"]:
    signal.pause()
elif sys.argv[1:] == ["breaks"]:
    raise ValueError("of the program")
else:
    print(json.dumps({
        "words": sys.argv,
        "variables": dict(os.environ),
        "mark": [one for one in BEGAN.split("\\0") if one.startswith(sys.argv[1])],
        "folder": os.getcwd(),
        "group": os.getpgrp() == os.getpid(),
        "signals": {one: str(signal.getsignal(one)).split(" at ")[0] for one in signal.valid_signals()},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "descriptors": sorted(set(os.listdir("/proc/self/fd")) - {"3"}),
        "streams": [[one.encoding, one.errors, one.line_buffering, one.isatty()] for one in STREAMS],
        "input": sys.stdin.read(),
        "threads": [thread.name for thread in threading.enumerate()],
        "temporary": tempfile.gettempdir(),
        "locale": [locale.getlocale(), locale.getpreferredencoding()],
        "path": sys.path,
        "main": [name for name in ("__file__", "__spec__", "__cached__") if globals().get(name)],
        "tests": [name for name in sys.modules if name.partition(".")[0] == "tests"],
        "flags": list(sys.flags),
        "limits": [resource.getrlimit(one) for one in LIMITS],
        "collects": gc.isenabled(),
        "trace": [str(sys.gettrace()), str(sys.getprofile())],
        "host": [os.umask(0o22), os.nice(0), sorted(os.sched_getaffinity(0))],
    }))
    print("an error", file=sys.stderr)
    sys.exit(7)
"""
PATIENCE_S = 60


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server(ENVIRONMENT, PROGRAM)
    yield server
    server.end()


def forked(server: Server, folder: Path, *words: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    with (folder / "forked.txt").open("w+") as output:
        program = server.fork(words, folder, env or ENVIRONMENT, output.fileno())
        status = program.wait(PATIENCE_S)
        output.seek(0)
        return status, output.read()


def started(folder: Path, *words: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], cwd=folder, env=env or ENVIRONMENT, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_state_of_a_forked_program_is_that_of_a_started_one(server: Server, tmp_path: Path) -> None:
    own = tmp_path / "größe"
    own.mkdir()
    env = {**ENVIRONMENT, MARK: "1" * len(NO_MARK), "TMPDIR": str(own), "NEW": "ä"}
    for name in ("HOME", "PATH"):
        env.pop(name, None)
    for _ in range(2):
        status, out = forked(server, own, MARK, "ö", env=env)
        assert (status, out) == started(own, MARK, "ö", env=env) and status == 7, out


def test_trace_of_a_forked_program_is_that_of_a_started_one(server: Server, tmp_path: Path) -> None:
    status, out = forked(server, tmp_path, "breaks")
    assert (status, out.splitlines()[-1]) == (1, "ValueError: of the program")
    assert (status, out) == started(tmp_path, "breaks")


def test_forked_program_is_waited_for_and_ended_like_a_started_one(server: Server, tmp_path: Path) -> None:
    with (tmp_path / "output").open("wb") as output:
        program = server.fork(["waits"], tmp_path, ENVIRONMENT, output.fileno())
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(0.01)
        assert program.poll() is None and os.getpgid(program.pid) == program.pid
        program.send_signal(signal.SIGTERM)
        assert (program.wait(PATIENCE_S), program.poll()) == (-signal.SIGTERM, -signal.SIGTERM)
    finally:
        program.kill()


def test_what_a_forked_program_leaves_is_found(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.doors.server_for", lambda _: server)
    with Door(["", "", "", "leaves a child"], tmp_path, forks=True) as door:
        assert door.end() == (0, "")
        [left] = door.living()
        assert left.pid != door.process.pid
    assert door.left_behind() == ()


@pytest.mark.parametrize("name", ["PYTHONHASHSEED", "PYTHONOPTIMIZE", "LC_ALL", "LD_PRELOAD", "TZ"])
def test_what_python_reads_at_its_start_is_changed_in_a_process_of_its_own(name: str) -> None:
    assert may_fork({**ENVIRONMENT, "TMPDIR": "/", "FRAME_RS": "x"})
    assert not may_fork({**ENVIRONMENT, name: "1"})
    assert not may_fork({**ENVIRONMENT, "PYTHONPATH": str(SOURCES)})


BROKEN = (("pub const PAGE_SIZE: u64 = 1 << 12;", "pub const PAGE_SIZE: u64 = one;"),)
WRONG = (("meta_aux.store(v, Relaxed)", "meta_aux.store(v & 0xffff, Relaxed)"),)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "edits", "status"),
    [
        (("-k", "CONST-01"), (), ExitCode.PASS),
        (("-k", "FRAME-08 and test_v_"), WRONG, ExitCode.FAIL),
        (("-k", "CONST-01"), BROKEN, ExitCode.ERROR),
        (("--nosuch",), (), ExitCode.USAGE),
    ],
    ids=["pass", "fail", "error", "usage error"],
)
def test_forked_check_says_and_writes_what_a_started_one_does(
    words: tuple[str, ...], edits: tuple[tuple[str, str], ...], status: ExitCode, tmp_path: Path
) -> None:
    subject = ("--frame-rs", broken(edits)) if edits else ()

    def checked(forks: bool) -> tuple[int, list[str], Any]:
        report = tmp_path / "report.json"
        report.unlink(missing_ok=True)
        argv = [*CHECK, "--json", report, "--machine", "microvm", "--profile", "release", "-n", "1", *subject]
        with Door([*argv, *words], tmp_path, forks=forks) as door:
            ended, out = door.end()
            assert door.living() == []
        written = timeless(json.loads(report.read_text())) if report.exists() else None
        return ended, timeless_lines(out), written

    checked(True)  # what is built for the first time is told, once
    found = checked(True)
    assert found == checked(False) and found[0] == status, found[1]
