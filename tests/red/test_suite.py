"""Proves that a run in which checks are missing is never a pass."""

from __future__ import annotations

from pathlib import Path

import psutil

from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from tests.support.doors import announced, busy, check, close_check, evidence_of, open_check, open_pytest
from tests.support.doors import write_machine as machine_in

RELEASE = ("--profile", "release", "-n", "1")
USERS_TEST = """\
import os, signal
import pytest

@pytest.mark.clause("ALLOC-01")
def test_one(kernel):
    kernel.alloc()

@pytest.mark.clause("ALLOC-02")
def test_two(kernel):
    {deed}

@pytest.mark.clause("ALLOC-03")
def test_three(kernel):
    kernel.alloc()
"""


def test_a_selection_that_matches_nothing_is_no_tests(tmp_path: Path) -> None:
    result = check(tmp_path, "--machine", "microvm", *RELEASE, "-k", "nosuch")
    assert (result.status, result.kind, result.survivors) == (ExitCode.NO_TESTS, VerdictKind.NO_TESTS, ())
    assert result.says("no check matches -k")


def test_a_selection_that_makes_no_sense_is_a_usage_error(tmp_path: Path) -> None:
    result = check(tmp_path, "--machine", "microvm", *RELEASE, "-k", "CONST-01 and (")
    assert (result.status, result.kind, result.survivors) == (ExitCode.USAGE, None, ())
    assert result.says("selection: 'CONST-01 and ('") and "Traceback" not in result.out


def test_checks_that_are_all_skipped_are_skip(tmp_path: Path) -> None:
    """The only checks of that name need a machine that was not chosen."""
    result = check(tmp_path, "--machine", "microvm", *RELEASE, "-k", "behind_the_pci_hole")
    assert (result.status, result.kind, result.survivors) == (ExitCode.SKIP, VerdictKind.SKIP, ())


def test_a_worker_that_is_killed_leaves_an_error(tmp_path: Path) -> None:
    with announced(tmp_path) as announcer:
        machine = machine_in(tmp_path, qemu=announcer.program, cpu_s=3600)
        arguments = ("--machine", machine, *RELEASE, "-k", "CONST-01", "--red", "hang-spin")
        with open_check(tmp_path, *arguments) as door:
            pid = announcer.next_pid()
            assert busy(pid, 1.0), "QEMU ended by itself"
            worker = psutil.Process(pid).parent()
            assert worker is not None and worker.pid != door.process.pid
            worker.kill()
            result = close_check(door, tmp_path)
    assert (result.status, result.kind, result.survivors) == (ExitCode.ERROR, VerdictKind.ERROR, ())


def test_checks_that_never_ran_because_their_worker_died_are_an_error(tmp_path: Path) -> None:
    deed = "os.kill(os.getpid(), signal.SIGKILL)"
    arguments = ("-p", "xdist", "-n", "2", "--machine", machine_in(tmp_path), "--profile", "release")
    with open_pytest(tmp_path, USERS_TEST.format(deed=deed), *arguments) as door:
        status, out = door.end()
        assert door.left_behind() == ()
    evidence, verdict = evidence_of(tmp_path)
    assert status == 1, out
    assert verdict.kind is VerdictKind.ERROR
    assert len(evidence.runs) == 1 and len(evidence.plan) == 3
    assert "test_user.py::test_two" not in {one.check for one in evidence.checks}


def test_a_qemu_that_is_killed_during_a_request_is_an_error(tmp_path: Path) -> None:
    deed = "os.kill(kernel.guest.pid, signal.SIGKILL); kernel.alloc()"
    arguments = ("--machine", machine_in(tmp_path), "--profile", "release")
    with open_pytest(tmp_path, USERS_TEST.format(deed=deed), *arguments) as door:
        status, out = door.end()
        assert door.left_behind() == ()
    _, verdict = evidence_of(tmp_path)
    assert (status, verdict.kind) == (1, VerdictKind.ERROR), out
    assert "exit" in {reason.code for reason in verdict.reasons}


def test_a_panic_that_halts_the_guest_of_a_check_is_a_crash(tmp_path: Path) -> None:
    deed = "kernel.call('onpanic halt'); kernel.call('crash panic')"
    arguments = ("--machine", machine_in(tmp_path), "--profile", "release")
    with open_pytest(tmp_path, USERS_TEST.format(deed=deed), *arguments) as door:
        status, out = door.end()
        assert door.left_behind() == ()
    _, verdict = evidence_of(tmp_path)
    assert (status, verdict.kind) == (1, VerdictKind.CRASH), out


def test_a_guest_that_is_asked_to_exit_as_a_failure_is_no_pass(tmp_path: Path) -> None:
    deed = "kernel.finish('fail')"
    arguments = ("--machine", machine_in(tmp_path), "--profile", "release")
    with open_pytest(tmp_path, USERS_TEST.format(deed=deed), *arguments) as door:
        status, out = door.end()
        assert door.left_behind() == ()
    _, verdict = evidence_of(tmp_path)
    assert status == 1, out
    assert verdict.kind in (VerdictKind.CRASH, VerdictKind.FAIL)


def test_a_machine_with_a_typo_is_a_usage_error_that_names_the_nearest_key(tmp_path: Path) -> None:
    machine = machine_in(tmp_path)
    machine.write_text(machine.read_text().replace("firmware", "firmwear"))
    result = check(tmp_path, "--machine", machine, *RELEASE)
    assert (result.status, result.kind, result.survivors) == (ExitCode.USAGE, None, ())
    assert result.says("unknown key 'firmwear', did you mean 'firmware'") and "Traceback" not in result.out


def test_an_unknown_machine_is_a_usage_error_that_names_the_nearest(tmp_path: Path) -> None:
    result = check(tmp_path, "--machine", "mircovm", *RELEASE)
    assert (result.status, result.kind, result.survivors) == (ExitCode.USAGE, None, ())
    assert result.says("did you mean 'microvm'")


def test_a_baseline_with_a_typo_is_a_usage_error_that_names_the_nearest_clause(tmp_path: Path) -> None:
    baseline = tmp_path / "known.toml"
    baseline.write_text('[[finding]]\nid = "ALOC-07"\nreason = "known"\n')
    result = check(tmp_path, "--baseline", baseline, *RELEASE)
    assert (result.status, result.kind, result.survivors) == (ExitCode.USAGE, None, ())
    assert result.says("did you mean ALLOC-07") and "Traceback" not in result.out


def test_a_report_that_cannot_be_written_is_a_usage_error_before_anything_runs(tmp_path: Path) -> None:
    for option in ("--json", "--junit"):
        result = check(tmp_path, option, tmp_path / "gone" / "report", *RELEASE)
        assert (result.status, result.kind, result.survivors) == (ExitCode.USAGE, None, ())
        assert result.says("its folder does not exist")


def test_a_baseline_does_not_excuse_a_guest_that_exits_badly(tmp_path: Path) -> None:
    baseline = tmp_path / "known.toml"
    baseline.write_text('[[finding]]\nid = "CONST-01"\nreason = "known"\n')
    arguments = ("--machine", machine_in(tmp_path), "--baseline", baseline, "-k", "CONST-01")
    result = check(tmp_path, *arguments, *RELEASE, "--red", "wrong-exit")
    assert (result.status, result.kind, result.survivors) == (ExitCode.CRASH, VerdictKind.CRASH, ())
