"""Proves that no QEMU is left when a process is interrupted, killed or fails."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from tests.support.doors import (
    CHECK,
    GONE_S,
    Door,
    announced,
    busy,
    evidence_of,
    open_check,
    open_pytest,
    write_machine,
)
from tests.support.mutants import broken_here

SPINNING = ("--profile", "both", "-n", "2", "-k", "CONST-01 or CONST-02", "--red", "hang-spin")
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
    """A check with two workers whose guests, one of each run, go on and on."""
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


def test_crash_before_ctrl_c_is_in_the_report(tmp_path: Path) -> None:
    start = "Self { start_address: addr.align_down(PAGE_SIZE) }"
    range_ = "FrameRangeInclusive { start, end }\n"
    crash = (start, f'unsafe {{ core::arch::asm!("ud2") }};\n        {start}')
    hang = (
        range_,
        f"loop {{ core::hint::spin_loop() }}\n        #[allow(unreachable_code)]\n        {range_}",
    )
    select = "test_containing_address_clears_the_low_bits and 0xdeadbeef or test_range_is_inclusive"
    with announced(tmp_path) as announcer:
        machine = write_machine(tmp_path, qemu=announcer.program, cpu_s=3600)
        words = (
            "--machine",
            machine,
            "--junit",
            tmp_path / "report.xml",
            "--frame-rs",
            broken_here([crash, hang]),
        )
        (tmp_path / "tmp").mkdir()
        # Without an archive, for which the commands of the guest that crashed would be played in another one.
        env = {"TMPDIR": str(tmp_path / "tmp"), "FRAME_HARNESS_RUNS": "0"}
        with open_check(tmp_path, *words, "--profile", "release", "-n", "1", "-k", select, env=env) as door:
            announcer.next_pid()  # of the preflight
            announcer.next_pid()  # crashes
            assert busy(announcer.next_pid(), 0.5), "QEMU ended by itself"
            os.killpg(door.process.pid, signal.SIGINT)
            expect_interrupted(door, tmp_path)
    reasons = json.loads((tmp_path / "report.json").read_text())["reasons"]
    assert [reason["kind"] for reason in reasons][:2] == ["INTERRUPTED", "CRASH"]
    crashed = [reason["check"] for reason in reasons if reason["code"] == "check-crashed"]
    assert crashed == ["test_i_frame.py::test_containing_address_clears_the_low_bits[0xdeadbeef]"]
    assert "test_containing_address" in (tmp_path / "report.xml").read_text()


def open_cold(name: str, folder: Path) -> Door:
    """A program that has to compile first, with TMPDIR as a mark: the compiler inherits no other one."""
    env = {"FRAME_HARNESS_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir()
    if name == "pytest":
        text = f"import frame_harness.base.commands\nframe_harness.base.commands.PATIENCE_S = 0.01\n{WAITS}"
        return open_pytest(folder, text, "--machine", "microvm", evidence=False, env=env)
    if name == "check":
        return open_check(folder, "--junit", folder / "report.xml", "--machine", "microvm", env=env)
    return Door([*CHECK[:-1], name], folder, env)


def marked(folder: Path) -> list[psutil.Process]:
    """Every process that runs and has the mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(folder / "tmp"):
                found.append(process)
    return found


def compiles(door: Door, folder: Path) -> bool:
    """Wait until cargo's compiler runs; false when the program is over before."""
    while True:
        for process in marked(folder):
            with contextlib.suppress(psutil.Error):
                parent, words = process.parent(), process.cmdline()
                if "--crate-name" in words and parent is not None and parent.name() == "cargo":
                    return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            door.process.wait(0.02)
            return False


@pytest.mark.parametrize("name", ["check", "orderings", "pytest"])
def test_ctrl_c_while_a_compiler_runs_leaves_nothing_and_no_trace(name: str, tmp_path: Path) -> None:
    with open_cold(name, tmp_path) as door:
        assert compiles(door, tmp_path), door.end()[1]
        # `check` compiles while it is still imported: what it is to report begins behind that.
        assert name == "orderings" or door.said("compiling the shim around built-in (dev)"), door.end()[1]
        os.killpg(door.process.pid, signal.SIGINT)
        if name == "check":
            expect_interrupted(door, tmp_path)
        status, out = door.end()
        _, alive = psutil.wait_procs(marked(tmp_path), timeout=GONE_S)
        assert alive == [] and list((tmp_path / "tmp").iterdir()) == []
    assert "Traceback" not in out
    last = {"check": "interrupted; every guest is gone", "orderings": "interrupted"}
    if name in last:
        assert (status, out.rstrip().splitlines()[-1]) == (ExitCode.INTERRUPTED, last[name])
        assert len([line for line in out.splitlines() if "nterrupt" in line]) == 1
    else:
        assert (status, "KeyboardInterrupt" in out) == (pytest.ExitCode.INTERRUPTED, True)


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
    assert verdict.kind is VerdictKind.ERROR
