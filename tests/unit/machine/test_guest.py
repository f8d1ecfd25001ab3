"""Proves the hold on a real QEMU with kernels of a few instructions."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from frame_harness.base.errors import MachineError, MissingToolError, RamError, UsageError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.units import GIB, MIB, Paddr
from frame_harness.machine import Guest, MonitorGone, known_machines, live_guests, load_machine
from frame_harness.machine import guest as guest_module
from frame_harness.machine.firmware import find_qemu
from frame_harness.machine.process import PARENT_CHECK
from frame_harness.machine.translation_log import TranslationLogs
from tests.support import tiny_guest as tiny
from tests.support.children import child_ends_too
from tests.support.fake_qemu import write_python, write_script, write_talker

Kernel = Callable[..., Path]
READY = b"ready\n"


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    def write(*code: bytes) -> Path:
        return tiny.write_kernel(tmp_path, b"".join(code))

    return write


def hear(guest: Guest, wanted: bytes) -> bytes:
    guest.console.settimeout(60)
    said = b""
    while wanted not in said:
        piece = guest.console.recv(4096)
        assert piece, f"the guest is gone after {said!r}"
        said += piece
    return said


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("name", known_machines())
def test_every_machine_boots_talks_then_passes(name: str, kernel: Kernel) -> None:
    with Guest.start(load_machine(name), kernel(tiny.say(READY), tiny.leave(0x10))) as guest:
        hear(guest, READY)
        status = guest.wait()
    assert status.kind is GuestEnd.PASS, status.describe()
    assert gone(guest.pid) and guest not in live_guests()


@pytest.mark.parametrize("firmware", ["default", "qboot", "seabios"])
@pytest.mark.parametrize("name", known_machines())
def test_every_machine_boots_with_each_firmware(name: str, firmware: str, kernel: Kernel) -> None:
    machine = load_machine(name).override(firmware=firmware)
    with Guest.start(machine, kernel(tiny.leave(0x10))) as guest:
        assert guest.wait().kind is GuestEnd.PASS


def test_qemu_that_somebody_else_ends_in_good_order_says_nothing_of_the_guest(kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(tiny.doze())) as guest:
        guest.qmp("quit")
        status = guest.wait()
    assert (status.kind, status.returncode) == (GuestEnd.UNEXPECTED, 0)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (tiny.leave(0x11), GuestEnd.FAIL),
        (tiny.leave(0x12), GuestEnd.PANIC),
        (tiny.leave(0x00), GuestEnd.UNKNOWN),
        (tiny.leave(0x7F), GuestEnd.UNKNOWN),
        (tiny.triple_fault(), GuestEnd.RESET),
    ],
)
def test_end_of_a_guest_is_what_it_is(code: bytes, kind: GuestEnd, kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(code)) as guest:
        assert guest.wait().kind is kind


def test_guest_answers_over_the_console(kernel: Kernel) -> None:
    with Guest.start(load_machine("q35"), kernel(tiny.say(READY), tiny.ECHO)) as guest:
        hear(guest, READY)
        guest.console.sendall(b"x")
        assert hear(guest, b"x") == b"x"


@pytest.mark.parametrize("name", known_machines())
def test_host_sees_what_the_guest_writes_at_once(name: str, kernel: Kernel) -> None:
    paddr = Paddr(20 * MIB)  # above what the kernel and the firmware use, inside the smallest machine
    code = (tiny.write_byte(paddr, 0x5A), tiny.say(READY), tiny.HALT)
    with Guest.start(load_machine(name), kernel(*code), ram_fill=7, resume=False) as guest:
        before = guest.ram.garbage(paddr, 4096)
        assert (guest.ram.view(paddr, 4096) == before).all()
        guest.resume()
        hear(guest, READY)
        after = guest.ram.view(paddr, 4096)
        assert after[0] == 0x5A and (after[1:] == before[1:]).all()
    assert after[0] == 0x5A, "a view stays readable after QEMU died"
    assert guest.ram.view(paddr, 1)[0] == 0x5A


def test_memory_behind_the_hole_is_where_qemu_put_it(kernel: Kernel) -> None:
    with Guest.start(load_machine("q35-5g"), kernel(tiny.HALT), resume=False) as guest:
        assert guest.ram.end_paddr > 5 * GIB and guest.ram.offset_of(Paddr(4 * GIB)) < 4 * GIB
        with pytest.raises(RamError):
            guest.ram.view(Paddr(4 * GIB - 4096), 4096)
        guest.ram.view(Paddr(5 * GIB), 4)[:] = list(b"WORD")
        assert b"0x57 0x4f 0x52 0x44" in guest.hmp(f"xp /4xb {5 * GIB:#x}").encode()


def test_paused_guest_does_not_run_before_it_is_told_to(kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(tiny.leave(0x10)), resume=False) as guest:
        assert guest.qmp("query-status")["status"] == "prelaunch"
        guest.resume()
        assert guest.wait().kind is GuestEnd.PASS


def test_overrides_of_ram_and_cpus_reach_the_guest(kernel: Kernel) -> None:
    with Guest.start(load_machine("q35").override(ram="32 MiB", cpus=3), kernel(tiny.HALT)) as guest:
        assert guest.ram.end_paddr == 32 * MIB and len(guest.vcpus()) == 3 == len(guest.vcpu_threads())


def test_ram_needs_no_room_in_a_file_system(kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(tiny.HALT)) as guest:
        assert "memfd:guest-ram" in str(Path(f"/proc/self/fd/{guest.ram.fd}").readlink())
        mapped = Path(f"/proc/{guest.pid}/maps").read_text()
        assert "memfd:guest-ram" in mapped and "/dev/shm" not in mapped


def test_qmp_refusal_carries_qemus_words(kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(tiny.HALT)) as guest:
        with pytest.raises(MachineError, match="has not been found"):
            guest.qmp("no-such-command")
        assert guest.qmp("query-status")["status"] == "running"


def test_command_to_a_dead_guest_says_that_it_is_gone(kernel: Kernel) -> None:
    with Guest.start(load_machine("microvm"), kernel(tiny.HALT)) as guest:
        os.kill(guest.pid, signal.SIGKILL)
        with pytest.raises(MonitorGone):
            while True:
                guest.qmp("query-status")
        assert guest.wait().kind is GuestEnd.SIGNALED


def test_kill_is_told_from_an_end_of_its_own(kernel: Kernel) -> None:
    guest = Guest.start(load_machine("microvm"), kernel(tiny.SPIN))
    assert guest in live_guests()
    assert guest.kill().kind is GuestEnd.KILLED and gone(guest.pid)
    assert guest.kill() == guest.wait()
    guest.close()
    guest.close()


def test_guest_is_ended_by_an_exception_in_its_block(kernel: Kernel) -> None:
    with pytest.raises(KeyError), Guest.start(load_machine("microvm"), kernel(tiny.SPIN)) as guest:
        raise KeyError
    assert gone(guest.pid) and guest not in live_guests()


def test_guest_leaves_no_descriptor_behind(kernel: Kernel) -> None:
    path = kernel(tiny.leave(0x10))
    counts = []
    for _ in range(4):
        with Guest.start(load_machine("microvm"), path) as guest:
            guest.wait()
        del guest
        gc.collect()
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[1] == counts[-1]


@pytest.mark.parametrize("lacking", ["setpriv", "descriptors"])
def test_guest_that_was_never_made_leaves_no_descriptor_behind(
    lacking: str, kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    machine = load_machine().override(qemu=write_script(tmp_path, "exec sleep 600\n").qemu)
    if lacking == "setpriv":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        monkeypatch.setattr(guest_module, "Qmp", none_left)
    path, logs, counts = kernel(tiny.HALT), TranslationLogs(()), []
    for _ in range(3):
        with pytest.raises((MissingToolError, OSError)):
            Guest.start(machine, path, logs=logs)
        assert logs.read() == []  # which forgets the logs that ended
        gc.collect()
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[0] == counts[-1]


def test_guest_started_in_a_thread_outlives_the_thread(kernel: Kernel) -> None:
    path, started = kernel(tiny.say(READY), tiny.ECHO), list[Guest]()
    thread = threading.Thread(target=lambda: started.append(Guest.start(load_machine("microvm"), path)))
    thread.start()
    thread.join()
    with started[0] as guest:
        hear(guest, READY)
        guest.console.sendall(b"y")
        assert hear(guest, b"y") == b"y"


START_THEN_WAIT = """
import sys
from pathlib import Path
from frame_harness.machine import Guest, load_machine
guest = Guest.start(load_machine("microvm"), Path(sys.argv[1]))
print(guest.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_qemu_dies_with_its_parent_whatever_kills_it(number: signal.Signals, kernel: Kernel) -> None:
    argv = [sys.executable, "-c", START_THEN_WAIT, str(kernel(tiny.SPIN))]
    assert child_ends_too(argv, number), "QEMU outlived its parent"


def test_qemu_that_would_be_born_an_orphan_is_never_started(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    # No process here has that parent; in a container 1 may be the very process that runs the tests.
    argv = ["sh", "-c", PARENT_CHECK, "0", "touch", str(mark)]
    assert subprocess.run(argv, check=False).returncode != 0 and not mark.exists()


def test_script_that_does_not_become_qemu_is_refused_and_leaves_none(tmp_path: Path, kernel: Kernel) -> None:
    script = '{} "$@" &\necho $! > "$0.qemu"\nwait\n'
    machine = write_script(tmp_path, script.format(find_qemu(load_machine("pc").qemu)))
    with pytest.raises(MachineError, match="one that starts QEMU as another process") as caught:
        Guest.start(machine, kernel(tiny.doze()))
    assert "`exec`" in caught.value.next_step
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(Path(f"{machine.qemu}.qemu").read_text())).wait()


def test_qemu_that_exits_at_once_is_reported_with_its_own_words(tmp_path: Path, kernel: Kernel) -> None:
    machine = write_script(tmp_path, "echo 'fake: no such device' >&2\nexit 1\n")
    with pytest.raises(MachineError) as caught:
        Guest.start(machine, kernel(tiny.HALT))
    assert "ended at once with status 1: fake: no such device" in caught.value.summary


def test_real_qemu_that_refuses_an_argument_is_reported(tmp_path: Path, kernel: Kernel) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('type = "q35"\nram = "64 MiB"\nextra_args = ["-device", "no-such-device"]\n')
    with pytest.raises(MachineError, match="no-such-device"):
        Guest.start(load_machine(path), kernel(tiny.HALT))


@pytest.mark.parametrize(
    "script", ["exec sleep 600\n", "sleep 600 &\nsleep 600\n", "trap '' TERM INT HUP\nsleep 600\n"]
)
def test_qemu_that_ignores_everything_is_given_up_then_killed(
    tmp_path: Path, script: str, kernel: Kernel
) -> None:
    with pytest.raises(MachineError, match="used no CPU time"):
        Guest.start(write_script(tmp_path, script), kernel(tiny.HALT))


def test_qemu_that_speaks_something_else_is_reported(tmp_path: Path, kernel: Kernel) -> None:
    text = """import os, re, signal, sys
fd = int(re.search("id=monitor,fd=([0-9]+)", " ".join(sys.argv)).group(1))
os.write(fd, b"220 ready for mail\\n")
signal.pause()
"""
    with pytest.raises(MachineError, match="not QMP"):
        Guest.start(write_python(tmp_path, text), kernel(tiny.HALT))


def test_qemu_that_kills_itself_is_never_a_pass(tmp_path: Path, kernel: Kernel) -> None:
    machine = write_talker(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    with Guest.start(machine, kernel(tiny.HALT)) as guest:
        assert guest.wait().kind is GuestEnd.SIGNALED


def test_qemu_that_passes_without_running_the_guest_is_caught(tmp_path: Path, kernel: Kernel) -> None:
    machine = write_talker(
        tmp_path, "send({'event': 'SHUTDOWN', 'data': {'reason': 'guest-reset'}})\nsys.exit(33)"
    )
    with Guest.start(machine, kernel(tiny.HALT)) as guest:
        assert guest.wait().kind is GuestEnd.CONTRADICTION


def test_stderr_of_qemu_is_kept(tmp_path: Path, kernel: Kernel) -> None:
    machine = write_talker(
        tmp_path, "print('x' * 100000 + 'the end', file=sys.stderr, flush=True)\nsys.exit(33)"
    )
    with Guest.start(machine, kernel(tiny.HALT)) as guest:
        status = guest.wait()
    assert status.stderr_tail.endswith("the end\n") and len(status.stderr_tail) < 20_000
    assert guest.stderr_text() == status.stderr_tail


def test_missing_qemu_says_what_to_install(kernel: Kernel) -> None:
    with pytest.raises(MissingToolError, match="apt install qemu-system-x86"):
        Guest.start(load_machine().override(qemu="qemu-system-nowhere"), kernel(tiny.HALT))


def test_missing_setpriv_says_what_to_install(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine = load_machine().override(qemu=write_script(tmp_path, "exit 0\n").qemu)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="util-linux"):
        Guest.start(machine, kernel(tiny.HALT))


def test_missing_kernel_is_told_before_qemu_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        Guest.start(load_machine(), tmp_path / "none.elf")


def test_missing_firmware_is_told_before_qemu_starts(tmp_path: Path, kernel: Kernel) -> None:
    machine = load_machine().override(firmware=str(tmp_path / "none.rom"))
    with pytest.raises(MissingToolError, match=r"none\.rom"):
        Guest.start(machine, kernel(tiny.HALT))
