"""Finds QEMU with its firmware on this host."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import Final

from harness.errors import MissingToolError
from harness.machine.definition import Machine

QBOOT: Final = "qboot.rom"
LIST_LIMIT_S: Final = 60.0  # for a QEMU that only prints its folders; a loaded host needs a fraction of it


def find_qemu(name: str) -> str:
    """Return the path of a QEMU program.

    Raises:
        MissingToolError: it is not installed; the text says what to install.
    """
    found = shutil.which(name)
    if found is None:
        raise MissingToolError(
            "qemu",
            name,
            detail="not found",
            next_step="install it (Debian, Ubuntu: apt install qemu-system-x86; Fedora: qemu-system-x86)",
        )
    return str(Path(found).absolute())


def bios_argument(machine: Machine, qemu: str) -> str | None:
    """Return what `-bios` must be given for this machine; None leaves the choice to QEMU.

    Raises:
        MissingToolError: the definition names a file that is not there.
    """
    if machine.firmware in ("default", "seabios"):
        # QEMU's own default is SeaBIOS for all three machine types (bios-256k.bin, bios-microvm.bin; QEMU
        # 7.2).
        return None
    if machine.firmware == "qboot":
        return QBOOT if has_qboot(qemu) else None
    if not Path(machine.firmware).is_file():
        raise MissingToolError(
            "firmware", machine.firmware, detail="no such file", next_step='use firmware = "default"'
        )
    return machine.firmware


@functools.cache
def has_qboot(qemu: str) -> bool:
    """Tell whether this QEMU's data folders hold qboot; a machine that prefers it boots without it, too."""
    try:
        listing = subprocess.run(
            [qemu, "-L", "help"], capture_output=True, text=True, timeout=LIST_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        # A program that cannot even list its folders fails again, with its own words, when it is started.
        return False
    return any((Path(folder.strip()) / QBOOT).is_file() for folder in listing.stdout.splitlines())
