"""Proves that a guest that hangs is found, one that merely waits is not."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.units import Vaddr
from frame_harness.machine import Deadline, Guest, LimitKind, LimitReached, load_machine
from frame_harness.machine.debugger import Debugger
from tests.support import tiny_guest as tiny

Kernel = Callable[..., Path]
READY = b"ready\n"


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    def write(*code: bytes) -> Path:
        return tiny.write_kernel(tmp_path, b"".join(code))

    return write


def listen(guest: Guest, deadline: Deadline, until: bytes = b"\0") -> bytes:
    """Read as a console would: as long as the deadline allows, or until something is said."""
    said = b""
    received = 0
    while until not in said:
        guest.console.settimeout(deadline.poll_s)
        try:
            piece = guest.console.recv(65536)
            assert piece, "the guest is gone"
            received += len(piece)
            said = (said + piece)[-1000:]
        except TimeoutError:
            pass
        deadline.check(received)
    return said


def limit_of(guest: Guest, cpu_s: float | None = None) -> LimitReached:
    with pytest.raises(LimitReached) as caught:
        listen(guest, guest.deadline("a word", cpu_s=cpu_s))
    assert guest.timeout is caught.value.report
    assert guest.wait().kind is GuestEnd.TIMEOUT
    return caught.value


def test_guest_halted_with_interrupts_off_is_asleep_for_good(kernel: Kernel) -> None:
    with Guest.start(load_machine("q35"), kernel(tiny.say(READY), tiny.HALT)) as guest:
        error = limit_of(guest)
    report = error.report
    assert report.kind is LimitKind.ASLEEP and report.interrupts_off
    assert report.vcpus[0].halted and "HLT=1" in report.registers
    assert "interrupts off" in error.summary and "a word" in error.summary


@pytest.mark.parametrize("name", ["q35", "microvm", "pc"])
def test_guest_that_nothing_will_wake_is_asleep_with_interrupts_on(name: str, kernel: Kernel) -> None:
    with Guest.start(load_machine(name), kernel(tiny.doze())) as guest:
        report = limit_of(guest).report
    assert report.kind is LimitKind.ASLEEP and not report.interrupts_off


def test_one_spinning_cpu_keeps_the_guest_awake_until_its_time_is_up(kernel: Kernel) -> None:
    with Guest.start(load_machine("q35").override(cpus=2), kernel(tiny.SPIN)) as guest:
        report = limit_of(guest, cpu_s=0.3).report
    assert report.kind is LimitKind.CPU and report.cpu_s >= 0.3
    assert [vcpu.halted for vcpu in report.vcpus] == [False, True]


def test_flood_is_ended_by_its_bytes(kernel: Kernel) -> None:
    machine = load_machine("microvm").override(limits={"console_bytes": 100_000})
    with Guest.start(machine, kernel(tiny.say_for_ever(b"flood\n"))) as guest:
        report = limit_of(guest).report
    assert report.kind is LimitKind.FLOOD and report.received_bytes > 100_000


def test_flood_before_the_banner_is_ended_sooner(kernel: Kernel) -> None:
    machine = load_machine("microvm").override(limits={"boot_bytes": 1000})
    with Guest.start(machine, kernel(tiny.say_for_ever(b"flood\n"))) as guest:
        deadline = guest.boot_deadline()
        with pytest.raises(LimitReached, match="the banner: the guest printed without end"):
            listen(guest, deadline)


def test_qemu_that_does_not_run_at_all_is_stalled(kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(tiny.say(READY), tiny.ECHO)) as guest:
        listen(guest, guest.deadline("boot"), READY)
        guest.machine = guest.machine.override(limits={"stall_wall_s": 1.0})
        os.kill(guest.pid, signal.SIGSTOP)
        report = limit_of(guest).report
    assert report.kind is LimitKind.STALLED and report.registers == ""


def test_guest_that_qemu_paused_is_reported_as_that(kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(tiny.SPIN)) as guest:
        guest.qmp("stop")
        assert limit_of(guest).report.kind is LimitKind.PAUSED


@contextmanager
def debugged(elf: Path, **limits: float) -> Iterator[tuple[Guest, Debugger]]:
    """A guest at its prompt with a debugger attached, which has paused it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        machine = load_machine("microvm")
        with Guest.start(machine, elf, debugger=theirs.fileno()) as guest:
            theirs.close()
            listen(guest, guest.deadline("boot"), READY)
            guest.machine = machine.override(limits=limits)
            yield guest, Debugger(ours, lambda: not guest.process.ended(), limit_s=60)


@pytest.mark.parametrize("where", ["attached", "breakpoint"])
def test_guest_that_a_debugger_holds_reaches_no_limit_then_goes_on(where: str, kernel: Kernel) -> None:
    elf = kernel(tiny.say(READY), tiny.ECHO)
    with debugged(elf, stall_wall_s=0.3, asleep_wall_s=0.1) as (guest, debugger):
        if where == "breakpoint":
            debugger.breakpoint(Vaddr(tiny.BASE + len(tiny.say(READY)) + tiny.ECHO_POLLS))
            debugger.go_on(lambda: False)
        deadline = guest.deadline("an echo", cpu_s=0.3)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            guest.console.settimeout(deadline.poll_s)
            with pytest.raises(TimeoutError):
                guest.console.recv(1)
            deadline.check(0)
        debugger.detach()
        guest.console.sendall(b"z")
        assert listen(guest, guest.deadline("an echo"), b"z") == b"z"


def test_last_resort_ends_a_guest_that_a_debugger_holds(kernel: Kernel) -> None:
    with debugged(kernel(tiny.say(READY), tiny.ECHO), total_wall_s=0.3) as (guest, _):
        assert limit_of(guest).report.kind is LimitKind.WALL


@contextmanager
def gdb_at(path: Path) -> Iterator[socket.socket]:
    """What QEMU takes for gdb: whoever connects."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        yield sock


def test_no_limit_counts_while_a_person_s_debugger_is_attached(kernel: Kernel, tmp_path: Path) -> None:
    path = tmp_path / "a,b"  # a comma would end the value of an option
    with Guest.start(load_machine("microvm"), kernel(tiny.SPIN), debugger=path) as guest:
        limits = {"total_wall_s": 0.1, "stall_wall_s": 0.1}
        guest.machine = guest.machine.override(limits=limits)
        assert not guest.debugger_attached()
        with gdb_at(path) as gdb:
            gdb.sendall(b"$vCont;c#a8")
            deadline = guest.deadline("a word", cpu_s=0.05)
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                guest.console.settimeout(deadline.poll_s)
                with pytest.raises(TimeoutError):
                    guest.console.recv(1)
                deadline.check(0)
            assert guest.debugger_attached()
        assert limit_of(guest, cpu_s=0.05).report.kind in (LimitKind.CPU, LimitKind.PAUSED, LimitKind.WALL)


def test_last_resort_ends_a_guest_that_is_busy_with_nothing(kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(tiny.SPIN)) as guest:
        guest.machine = guest.machine.override(limits={"total_wall_s": 0.5})
        assert limit_of(guest, cpu_s=1e6).report.kind is LimitKind.WALL


def test_guest_that_waits_for_input_is_not_asleep_once_it_is_sent(kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(tiny.say(READY), tiny.ECHO)) as guest:
        listen(guest, guest.deadline("boot"), READY)
        for _ in range(20):
            guest.console.sendall(b"z")
            assert listen(guest, guest.deadline("echo"), b"z") == b"z"


def test_report_carries_the_last_lines_of_the_console(kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(tiny.HALT)) as guest:
        deadline = guest.deadline("a word", tail=lambda: ["one", "two"])
        with pytest.raises(LimitReached) as caught:
            listen(guest, deadline)
    assert caught.value.report.tail == ("one", "two") and "console: two" in str(caught.value)


def test_death_of_qemu_is_left_to_the_reader_to_notice(kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(tiny.HALT)) as guest:
        guest.process.kill()
        deadline = guest.deadline("a word")
        for _ in range(10):
            deadline.check(0)


def test_wait_kills_a_guest_that_does_not_end(kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(tiny.SPIN)) as guest:
        assert guest.wait(guest.deadline("the end", cpu_s=0.2)).kind is GuestEnd.TIMEOUT
        assert guest.timeout is not None and guest.timeout.kind is LimitKind.CPU
