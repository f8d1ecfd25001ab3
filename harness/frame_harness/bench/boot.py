"""How long a guest takes to its prompt, beside QEMU's own start."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator

from frame_harness.base.errors import MachineError
from frame_harness.bench.rows import Row, beside, timed
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.pool import GuestPool
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.machine.argv import Handles, qemu_argv
from frame_harness.machine.definition import Machine, load_machine
from frame_harness.machine.firmware import bios_argument, find_qemu
from frame_harness.machine.ram import GuestRam

GOALS = {"microvm": "<= 1.7", "q35": "<= 2.0"}
PUT_BACK_GOALS = {"microvm": "<= 0.4", "q35": "<= 0.4"}
ROUNDS = 15


def measure() -> Iterator[Row]:
    """Cold boots of the release build: to the prompt, against the start of a QEMU that stays paused.

    Filling RAM with garbage comes before QEMU, and is left out of both.
    """
    image = build(frame_module(), "release")
    for name, goal in GOALS.items():
        machine = load_machine(name)
        yield beside(
            f"cold boot to the prompt, {name}",
            lambda machine=machine: _boot(image, machine),  # type: ignore[misc]
            "QEMU's own start (-S, to its monitor)",
            lambda machine=machine: qemu_start(image, machine),  # type: ignore[misc]
            rounds=ROUNDS,
            goal=goal,
        )
    for name, goal in PUT_BACK_GOALS.items():
        yield _put_back(image, load_machine(name), goal)


def _put_back(image: Image, machine: Machine, goal: str) -> Row:
    """A guest as after boot in a QEMU that runs already, against a QEMU that only says its version."""
    pool = GuestPool(at_once=True)
    kernels: list[Kernel] = []

    def boot() -> float:
        seconds = timed(lambda: kernels.append(pool.boot(Kernel, image, machine)))
        kernels.pop().finish()
        return seconds

    def version() -> float:
        argv = [find_qemu(machine.qemu), "-version"]
        return timed(lambda: subprocess.run(argv, check=True, stdout=subprocess.DEVNULL))

    try:
        # The first round, which does not count, is the one that starts it.
        return beside(
            f"a guest put back to its prompt, {machine.name}",
            boot,
            "qemu-system-x86_64 -version",
            version,
            rounds=ROUNDS,
            goal=goal,
        )
    finally:
        pool.close()


def _boot(image: Image, machine: Machine) -> float:
    kernels: list[Kernel] = []
    seconds = timed(lambda: kernels.append(Kernel.boot(image, machine, seed=None)))
    kernels[0].finish()
    return seconds


def qemu_start(image: Image, machine: Machine) -> float:
    """From the spawn of QEMU itself, as bare as can be, to the first byte of its monitor's greeting.

    Raises:
        MachineError: QEMU ended before it greeted.
    """
    qemu = find_qemu(machine.qemu)
    ram = GuestRam(machine.ram, None)
    pairs = [socket.socketpair() for _ in range(2)]
    (_, console), (near, monitor) = pairs
    handles = Handles(ram=ram.fd, console=console.fileno(), monitor=monitor.fileno())
    argv = qemu_argv(machine, handles, qemu=qemu, elf=image.elf, append="", bios=bios_argument(machine, qemu))
    began = time.perf_counter()
    child = subprocess.Popen(argv, pass_fds=(ram.fd, console.fileno(), monitor.fileno()))
    try:
        monitor.close()
        if not near.recv(1):
            raise MachineError("qemu", machine.name, detail="ended before its monitor's greeting")
        return time.perf_counter() - began
    finally:
        child.kill()
        child.wait()
        for pair in pairs:
            for end in pair:
                end.close()
