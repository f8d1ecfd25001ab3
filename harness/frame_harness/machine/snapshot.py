"""A guest at one moment: its CPUs, devices and RAM, to be put back in the same QEMU."""

from __future__ import annotations

import os
import struct
from typing import Final

from frame_harness.base.errors import MachineError
from frame_harness.machine.guest import Guest
from frame_harness.machine.ram import RamCopy

_NAME: Final = "kept"
_CLUSTER: Final = 64 << 10


class Snapshot:
    """What a paused guest is now, RAM copied by the host, the rest written by QEMU's `savevm`.

    `loadvm` resets every device and CPU, loads the state of each, and throws away all translated code: QEMU
    must not run old translations of what the host writes. Before that it writes the kernel's image into RAM
    again, so RAM is written back last.
    """

    def __init__(self, guest: Guest) -> None:
        """Raises:
        MachineError: this QEMU makes no snapshots; the guest is as it was, and paused.
        """
        _add_storage(guest)
        # RAM is the host's to copy: in a file it would cost QEMU tens of milliseconds.
        guest.qmp("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])
        _run(guest, f"savevm {_NAME}")
        self._ram = RamCopy(guest.ram)

    def put_back(self, guest: Guest) -> None:
        """Make a guest in the same QEMU, paused, what it was.

        Raises:
            MachineError: QEMU did not load its state; nothing can be said of the guest.
        """
        _run(guest, f"loadvm {_NAME}")
        self._ram.write_back(guest.ram)


def _run(guest: Guest, line: str) -> None:
    """Run a command of the human monitor that prints nothing where it succeeds."""
    if said := guest.hmp(line).strip():
        raise MachineError("qemu monitor", line, detail=said)


def _add_storage(guest: Guest) -> None:
    """Give QEMU a nameless image that no device of the guest uses, in memory, for `savevm` to write to."""
    fd = os.memfd_create("guest-state", os.MFD_CLOEXEC)
    try:
        os.pwrite(fd, _empty_qcow2(), 0)
        # QEMU has it open when this returns.
        file = {"driver": "file", "filename": f"/proc/{os.getpid()}/fd/{fd}"}
        guest.qmp("blockdev-add", driver="qcow2", node_name=_NAME, file=file)
    finally:
        os.close(fd)


def _empty_qcow2() -> bytes:
    """An image of 16 clusters with nothing in it (QEMU docs/interop/qcow2.txt, version 2).

    Cluster 0 is the header, 1 the table of refcount blocks, 2 the refcounts of these four, 3 the L1 table.
    """
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        *(b"QFI\xfb", 2, 0, 0, 16, 16 * _CLUSTER, 0, 1, 3 * _CLUSTER, 1 * _CLUSTER, 1, 0, 0),
    )
    parts = (header, struct.pack(">Q", 2 * _CLUSTER), struct.pack(">4H", 1, 1, 1, 1), b"")
    return b"".join(part.ljust(_CLUSTER, b"\0") for part in parts)
