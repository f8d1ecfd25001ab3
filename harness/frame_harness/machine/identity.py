"""Tells apart what guests run on: results of one machine, QEMU or firmware are not those of another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from frame_harness.base.commands import run
from frame_harness.base.errors import MachineError, MissingToolError
from frame_harness.machine.definition import Machine
from frame_harness.machine.firmware import bios_argument, find_qemu
from frame_harness.machine.guest import Guest


def qemu_version(program: str) -> str:
    """Return the first line that a QEMU program says of its version.

    Raises:
        MachineError: it does not start.
    """
    finished = run([program, "--version"], what="asking QEMU")
    if finished.status != 0 or not finished.out:
        raise MachineError(
            "qemu", program, detail=f"does not start: {finished.last_words()}",
            next_step="install qemu-system-x86 again",
        )  # fmt: skip
    return finished.out.splitlines()[0]


def version_of(guest: Guest) -> str:
    """The version of the QEMU that runs a guest, as it tells it, such as `7.2.1`."""
    told = guest.qmp("query-version")["qemu"]
    return ".".join(str(told[part]) for part in ("major", "minor", "micro"))


def identity_of(machine: Machine) -> str:
    """Return a digest of what guests depend on beside their kernel: the machine, QEMU's version, firmware.

    Where this host lacks QEMU or the firmware, guests run on other hosts, and the definition alone counts.

    Raises:
        MachineError: QEMU is there and does not start.
    """
    total = hashlib.sha256(msgspec.json.encode(machine))
    try:
        qemu = find_qemu(machine.qemu)
        firmware = bios_argument(machine, qemu)
    except MissingToolError:
        return total.hexdigest()
    total.update(qemu_version(qemu).encode())
    total.update(b"" if firmware is None else hashlib.sha256(Path(firmware).read_bytes()).digest())
    return total.hexdigest()
