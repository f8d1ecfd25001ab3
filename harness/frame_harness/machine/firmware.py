"""Finds QEMU with its firmware on this host."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from frame_harness.base.errors import MissingToolError, UsageError
from frame_harness.base.own_programs import find_program
from frame_harness.machine.definition import DEFAULT_QEMU, Machine

QBOOT: Final = "qboot.rom"
SHARED: Final = (Path("/usr/local/share/qemu"), Path("/usr/share/qemu"))


def find_qemu(name: str) -> str:
    """Return the path of a QEMU program.

    Raises:
        MissingToolError: it is not installed; the text says what to install.
    """
    found = find_program(name)
    if found is None:
        raise MissingToolError(
            "qemu",
            name,
            detail="not found",
            next_step="install it (Debian, Ubuntu: apt install qemu-system-x86; Fedora: qemu-system-x86)",
        )
    return str(Path(found).absolute())


def require_host(machine: Machine) -> None:
    """Look for what a machine needs of this host, before anything is built for it.

    Raises:
        UsageError: its definition names a QEMU or a firmware of its own that is not there.
        MissingToolError: QEMU is not installed.
    """
    try:
        bios_argument(machine, find_qemu(machine.qemu))
    except MissingToolError as error:
        named = machine.qemu if error.what == "qemu" else machine.firmware
        if named in (DEFAULT_QEMU, "default"):
            raise
        raise UsageError(
            "machine", f"{machine.name}: {error.what}", detail=f"{named}: not found",
            next_step=f"correct the key `{error.what}` in its file, or leave it out",
        ) from error  # fmt: skip


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
        found = find_qboot(qemu)
        return None if found is None else str(found)
    if not Path(machine.firmware).is_file():
        raise MissingToolError(
            "firmware", machine.firmware, detail="no such file", next_step='use firmware = "default"'
        )
    return machine.firmware


def find_qboot(qemu: str) -> Path | None:
    """Return qboot from the data folders of this QEMU, or of the host's; None where it is not installed."""
    prefix = Path(qemu).resolve().parent.parent
    for folder in (prefix / "share" / "qemu", *SHARED):
        if (folder / QBOOT).is_file():
            return folder / QBOOT
    return None
