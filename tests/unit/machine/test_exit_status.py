"""Proves that no end of QEMU is a pass but the one that the guest reports."""

from __future__ import annotations

import itertools
import signal

import pytest

from frame_harness.base.guest_end import GuestEnd
from frame_harness.machine.exit_status import ExitStatus, classify, complains

REASONS: list[tuple[str, ...]] = [
    (), ("guest-reset",), ("guest-shutdown",), ("host-qmp-quit",), ("host-signal",), ("guest-panic",),
]  # fmt: skip


def ended(
    returncode: int, *reasons: str, ran: bool = True, timed_out: bool = False, killed: bool = False
) -> GuestEnd:
    return classify(returncode, reasons, ran=ran, timed_out=timed_out, killed=killed, complained=True)


@pytest.mark.parametrize(
    ("returncode", "reasons", "kind"),
    [
        (33, (), GuestEnd.PASS),
        (35, (), GuestEnd.FAIL),
        (37, (), GuestEnd.PANIC),
        (33, ("guest-shutdown",), GuestEnd.PASS),  # as QEMU 10 says it
        (37, ("guest-shutdown",), GuestEnd.PANIC),
        (0, ("guest-reset",), GuestEnd.RESET),
        (0, ("guest-shutdown",), GuestEnd.UNEXPECTED),
        (0, (), GuestEnd.UNEXPECTED),
        (0, ("host-signal",), GuestEnd.SIGNALED),
        (1, (), GuestEnd.REFUSED),
        (-signal.SIGSEGV, (), GuestEnd.SIGNALED),
        (-signal.SIGKILL, (), GuestEnd.SIGNALED),
        (39, (), GuestEnd.UNKNOWN),
        (127, (), GuestEnd.UNKNOWN),
    ],
)
def test_end_is_classified_by_its_evidence(returncode: int, reasons: tuple[str, ...], kind: GuestEnd) -> None:
    assert ended(returncode, *reasons) is kind


@pytest.mark.parametrize("reasons", [(), ("guest-shutdown",)])
def test_a_zero_at_the_exit_port_is_told_from_a_failure_of_qemu(reasons: tuple[str, ...]) -> None:
    facts = {"timed_out": False, "killed": False}
    assert classify(1, reasons, ran=True, complained=False, **facts) is GuestEnd.UNKNOWN
    assert classify(1, reasons, ran=True, complained=True, **facts) is GuestEnd.REFUSED
    assert classify(1, reasons, ran=False, complained=False, **facts) is GuestEnd.REFUSED
    assert classify(1, ("host-signal",), ran=True, complained=False, **facts) is GuestEnd.REFUSED
    words = ExitStatus(GuestEnd.UNKNOWN, 1, reasons, "").describe()
    assert "exit status 1, as after a write of 0x0 to the exit port" in words


def test_what_qemu_warns_of_is_no_failure() -> None:
    warning = "qemu-system-x86_64: warning: TCG doesn't support requested feature: CPUID.01H:ECX.x [bit 1]\n"
    assert not complains("") and not complains("\n") and not complains(warning)
    assert complains(warning + "qemu-system-x86_64: could not load kernel\n")


def test_only_one_status_may_pass_in_the_two_ways_that_qemu_says_it() -> None:
    names = "ran", "timed_out", "killed", "complained"
    facts = [dict(zip(names, each, strict=True)) for each in itertools.product((False, True), repeat=4)]
    passing = [
        (code, reasons, each["ran"], each["timed_out"])
        for code, reasons, each in itertools.product(range(-64, 256), REASONS, facts)
        if classify(code, reasons, **each) is GuestEnd.PASS
    ]
    assert set(passing) == {(33, (), True, False), (33, ("guest-shutdown",), True, False)}


def test_triple_fault_is_never_a_pass() -> None:
    assert ended(0, "guest-reset") is GuestEnd.RESET


def test_limit_wins_over_whatever_status_came_after_it() -> None:
    assert ended(33, timed_out=True) is GuestEnd.TIMEOUT
    assert ended(-9, timed_out=True, killed=True) is GuestEnd.TIMEOUT


def test_status_of_a_guest_that_never_ran_is_not_the_guests() -> None:
    assert ended(33, ran=False) is GuestEnd.CONTRADICTION


def test_status_that_the_monitor_contradicts_is_an_error() -> None:
    assert ended(33, "guest-reset") is GuestEnd.CONTRADICTION
    assert ended(33, "guest-shutdown", "guest-reset") is GuestEnd.CONTRADICTION


def test_kill_by_the_harness_is_told_from_a_kill_by_somebody_else() -> None:
    assert ended(-9, killed=True) is GuestEnd.KILLED
    assert ended(-9) is GuestEnd.SIGNALED
    assert ended(0, "host-qmp-quit", killed=True) is GuestEnd.KILLED


def test_description_holds_the_evidence() -> None:
    assert "exit status 33, the guest wrote 0x10" in ExitStatus(GuestEnd.PASS, 33, (), "").describe()
    assert "signal SIGSEGV" in ExitStatus(GuestEnd.SIGNALED, -11, (), "").describe()
    assert "guest-reset" in ExitStatus(GuestEnd.RESET, 0, ("guest-reset",), "").describe()


def test_every_end_has_words_of_its_own() -> None:
    assert len({end.words for end in GuestEnd}) == len(GuestEnd)
