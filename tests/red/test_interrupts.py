"""Proves that no QEMU is left, whoever is interrupted, killed or fails."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from frame_harness.judge.exit_codes import ExitCode, Kind
from tests.support.doors import Door, announced, busy, evidence_of, open_check, open_pytest, write_machine

SPINNING = ("--profile", "release", "-n", "2", "-k", "CONST-01 or CONST-02", "--red", "hang-spin")
WAITS = """\
def test_it(kernel):
    kernel.call("crash hang")
"""
FIXTURE_FAILS = """\
import pytest

@pytest.fixture
def prepared(kernel):
    kernel.alloc()
    {deed}
    yield kernel
    {later}

@pytest.mark.clause("ALLOC-01")
def test_it(prepared):
    prepared.alloc()
"""


@contextmanager
def judging(folder: Path) -> Iterator[Door]:
    """A check with two workers whose guests run and run."""
    with announced(folder) as announcer:
        machine = write_machine(folder, qemu=announcer.program, cpu_s=3600)
        scratch = folder / "tmp"
        scratch.mkdir()
        words = ("--machine", machine, "--junit", folder / "report.xml", *SPINNING)
        with open_check(folder, *words, env={"TMPDIR": str(scratch)}) as door:
            for pid in (announcer.next_pid(), announcer.next_pid()):
                assert busy(pid, 0.5), "QEMU ended by itself"
            assert len([p for p in door.living() if "qemu-system" in p.name()]) == 2
            yield door


def expect_interrupted(door: Door, folder: Path) -> None:
    """The status, the reports, nothing left: neither a QEMU nor a file in TMPDIR."""
    status, out = door.end()
    assert (status, door.left_behind()) == (ExitCode.INTERRUPTED, ()), out
    assert "Traceback" not in out
    assert out.rstrip().endswith("interrupted; every guest is gone")
    assert json.loads((folder / "report.json").read_text())["verdict"] == "INTERRUPTED"
    assert 'type="INTERRUPTED"' in (folder / "report.xml").read_text()
    assert list((folder / "tmp").iterdir()) == []


def test_ctrl_c_ends_with_130_reports_and_no_qemu(tmp_path: Path) -> None:
    with judging(tmp_path) as door:
        os.killpg(door.process.pid, signal.SIGINT)
        expect_interrupted(door, tmp_path)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_signal_to_the_program_alone_ends_as_ctrl_c_does(signum: signal.Signals, tmp_path: Path) -> None:
    with judging(tmp_path) as door:
        door.process.send_signal(signum)
        expect_interrupted(door, tmp_path)


def test_a_check_that_is_killed_leaves_no_qemu(tmp_path: Path) -> None:
    with judging(tmp_path) as door:
        door.process.kill()
        assert door.end()[0] == -signal.SIGKILL
        assert door.left_behind() == ()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_pytest_that_is_ended_leaves_no_qemu(signum: signal.Signals, tmp_path: Path) -> None:
    with announced(tmp_path) as announcer:
        machine = write_machine(tmp_path, qemu=announcer.program, cpu_s=3600)
        text = 'def test_it(kernel):\n    while True:\n        kernel.call("banner")\n'
        with open_pytest(tmp_path, text, "--machine", machine, "--profile", "release") as door:
            announcer.next_pid()  # of the preflight
            assert busy(announcer.next_pid(), 0.5), "QEMU ended by itself"
            door.process.send_signal(signum)
            status, out = door.end()
            assert status != 0, out
            assert door.left_behind() == ()


@pytest.mark.parametrize(
    ("deed", "later"),
    [
        ("raise RuntimeError('no')", "pass"),
        ("pass", "raise RuntimeError('no')"),
        ("raise SystemExit(0)", "pass"),
    ],
    ids=["before", "after", "exit"],
)
def test_a_failing_fixture_leaves_no_qemu_and_is_an_error(deed: str, later: str, tmp_path: Path) -> None:
    arguments = ("--machine", write_machine(tmp_path), "--profile", "release")
    with open_pytest(tmp_path, FIXTURE_FAILS.format(deed=deed, later=later), *arguments) as door:
        status, out = door.end()
        assert (status, door.left_behind()) == (1, ()), out
    _, verdict = evidence_of(tmp_path)
    assert verdict.kind is Kind.ERROR
