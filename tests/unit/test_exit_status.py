"""Proves that no end of QEMU is a pass but the one that the guest reports."""

from __future__ import annotations

import itertools
import signal

import pytest

from frame_harness.machine.exit_status import ExitStatus, GuestExit, classify

REASONS: list[tuple[str, ...]] = [
    (), ("guest-reset",), ("guest-shutdown",), ("host-qmp-quit",), ("host-signal",), ("guest-panic",),
]  # fmt: skip


def ended(
    returncode: int, *reasons: str, ran: bool = True, timed_out: bool = False, killed: bool = False
) -> GuestExit:
    return classify(returncode, reasons, ran=ran, timed_out=timed_out, killed=killed)


@pytest.mark.parametrize(
    ("returncode", "reasons", "kind", "severity"),
    [
        (33, (), GuestExit.GUEST_PASS, "pass"),
        (35, (), GuestExit.GUEST_FAIL, "fail"),
        (37, (), GuestExit.GUEST_PANIC, "crash"),
        (0, ("guest-reset",), GuestExit.RESET, "crash"),
        (0, ("guest-shutdown",), GuestExit.UNEXPECTED_EXIT, "crash"),
        (0, (), GuestExit.UNEXPECTED_EXIT, "crash"),
        (0, ("host-signal",), GuestExit.SIGNALLED, "error"),
        (1, (), GuestExit.QEMU_FAILED, "error"),
        (-signal.SIGSEGV, (), GuestExit.SIGNALLED, "error"),
        (-signal.SIGKILL, (), GuestExit.SIGNALLED, "error"),
        (39, (), GuestExit.UNKNOWN, "error"),
        (127, (), GuestExit.UNKNOWN, "error"),
    ],
)
def test_end_is_classified_by_its_evidence(
    returncode: int, reasons: tuple[str, ...], kind: GuestExit, severity: str
) -> None:
    assert ended(returncode, *reasons) is kind
    assert kind.severity == severity


def test_only_one_combination_of_evidence_may_pass() -> None:
    flags = list(itertools.product((False, True), repeat=3))
    passing = [
        (code, reasons, ran, timed_out)
        for code, reasons, (ran, timed_out, killed) in itertools.product(range(-64, 256), REASONS, flags)
        if classify(code, reasons, ran=ran, timed_out=timed_out, killed=killed) is GuestExit.GUEST_PASS
    ]
    assert set(passing) == {(33, (), True, False)}


def test_triple_fault_is_never_a_pass() -> None:
    assert ended(0, "guest-reset").severity == "crash"


def test_limit_wins_over_whatever_status_came_after_it() -> None:
    assert ended(33, timed_out=True) is GuestExit.TIMEOUT
    assert ended(-9, timed_out=True, killed=True) is GuestExit.TIMEOUT


def test_status_of_a_guest_that_never_ran_is_not_the_guests() -> None:
    assert ended(33, ran=False) is GuestExit.CONTRADICTION


def test_status_that_the_monitor_contradicts_is_an_error() -> None:
    assert ended(33, "guest-reset") is GuestExit.CONTRADICTION


def test_kill_by_the_harness_is_told_from_a_kill_by_somebody_else() -> None:
    assert ended(-9, killed=True) is GuestExit.KILLED
    assert ended(-9) is GuestExit.SIGNALLED
    assert ended(0, "host-qmp-quit", killed=True) is GuestExit.KILLED


def test_description_holds_the_evidence() -> None:
    assert "exit status 33, the guest wrote 0x10" in ExitStatus(GuestExit.GUEST_PASS, 33, (), "").describe()
    assert "signal SIGSEGV" in ExitStatus(GuestExit.SIGNALLED, -11, (), "").describe()
    assert "guest-reset" in ExitStatus(GuestExit.RESET, 0, ("guest-reset",), "").describe()


def test_every_kind_has_a_severity() -> None:
    assert {kind.severity for kind in GuestExit} == {"pass", "fail", "crash", "timeout", "error"}
