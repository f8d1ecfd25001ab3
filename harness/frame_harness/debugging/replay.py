"""Replays a recording under a debugger, and tells of each write to some bytes."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from frame_harness.base.errors import MachineError, UsageError
from frame_harness.base.units import KERNEL_VMA, Paddr, Vaddr, paddr_to_vaddr, vaddr_to_paddr
from frame_harness.debugging.recording import (
    ELF,
    LOG,
    NOTE,
    RecordingNote,
    diverged,
    icount,
    memory_of,
    refused,
    shape_of,
)
from frame_harness.guest.backtrace import reader, return_addresses
from frame_harness.machine.debugger import Debugger, DebuggerError, GuestEnded
from frame_harness.machine.definition import Machine
from frame_harness.machine.guest import Guest
from frame_harness.machine.identity import version_of
from frame_harness.machine.instruction import LONGEST, stays
from frame_harness.machine.qmp import MonitorGone
from frame_harness.machine.stall import StallWatch

STALL_S: Final = 10.0
"""So long QEMU may use no CPU time in a replay before it counts as hung."""
_RBP: Final = 6
_REPLY: Final = b"=0 "


@dataclass(frozen=True)
class Write:
    """One write to the bytes that are watched.

    Attributes:
        vaddr: an address in the instruction that wrote.
        command: how many commands were answered before; that many is the index of the one that was running.
        booting: no command was asked yet.
        instruction: its number since power-on.
        callers: addresses in the calls that led there, innermost first.
    """

    vaddr: Vaddr
    command: int
    booting: bool
    before: int
    after: int
    instruction: int
    callers: tuple[Vaddr, ...]


class Replay:
    """One run of a recording, from power-on to its end."""

    def __init__(self, folder: Path, note: RecordingNote, *, stall_s: float = STALL_S) -> None:
        self._folder, self._note, self._stall_s = folder, note, stall_s
        self._said = bytearray()

    def writes(self, paddr: Paddr, n_bytes: int) -> Iterator[Write]:
        """Yield each write to some bytes of RAM, then prove that the replay was the recorded run.

        Raises:
            RecordingError: it cannot be replayed, hangs, or goes another way.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                guest = self._start(theirs.fileno())
            with guest:
                yield from self._follow(guest, ours, paddr, n_bytes)

    def _start(self, debugger: int) -> Guest:
        note, elf = self._note, self._folder / ELF
        try:
            machine = msgspec.convert(note.machine, Machine)
        except msgspec.ValidationError as error:
            raise refused(self._folder, f"{NOTE} is damaged: {error}") from error
        machine = machine.override(extra_args=(*machine.extra_args, *icount("replay", self._folder / LOG)))
        try:
            guest = Guest.start(
                machine, elf, append=note.append, ram_fill=note.seed, resume=False, debugger=debugger
            )
        except MachineError as error:
            raise refused(self._folder, f"QEMU refuses it: {error.summary}") from error
        except UsageError as error:  # somebody removed it by hand
            raise refused(self._folder, f"no machine can be started: {error.summary}") from error
        try:
            self._compare_start(guest, elf)
        except BaseException:
            guest.close()
            raise
        return guest

    def _compare_start(self, guest: Guest, elf: Path) -> None:
        note = self._note
        version = version_of(guest)
        if version != note.qemu_version:
            raise refused(self._folder, f"made by QEMU {note.qemu_version}, this one is {version}")
        if shape_of(guest.argv, elf) != note.argv:
            raise refused(self._folder, "this version starts QEMU in another way than when it was made")

    def _follow(self, guest: Guest, sock: socket.socket, paddr: Paddr, n_bytes: int) -> Iterator[Write]:
        note = self._note
        debugger = Debugger(
            sock, lambda: not guest.process.ended(), limit_s=guest.machine.limits.stall_wall_s, runs=False
        )
        # The guest writes to slots through the HHDM; early code might by the physical address.
        for vaddr in (paddr_to_vaddr(paddr, note.hhdm), Vaddr(paddr)):
            debugger.watch(vaddr, n_bytes)
        bytes_there = guest.ram.view(paddr, n_bytes)
        value = _number(bytes_there)
        patience = Patience(guest, note, self._stall_s)
        while True:
            try:
                stop = debugger.go_on(lambda: self._wait(guest) or patience.is_over())
            except GuestEnded:
                break  # the recording is played to its end
            except DebuggerError as error:
                raise self._hangs(guest) from error
            self._hear(guest)
            before, value = value, _number(bytes_there)
            yield self._write(guest, debugger, stop.cpu, before, value)
            patience.renew()
        self._hear(guest)
        self._compare_end(guest)

    def _write(self, guest: Guest, debugger: Debugger, cpu: int, before: int, after: int) -> Write:
        registers = debugger.registers(cpu)
        rip = Vaddr(registers[-1])
        code = (
            guest.ram.view(vaddr_to_paddr(rip, KERNEL_VMA), LONGEST).tobytes() if rip >= KERNEL_VMA else b""
        )
        # The CPU stands behind the instruction, but for a repeated one, which is not through.
        vaddr = rip if code and stays(code, rip) else Vaddr(rip - 1)
        calls = return_addresses(Vaddr(registers[_RBP]), reader(guest.ram, self._note.hhdm))
        lines = bytes(self._said).split(b"\n")
        return Write(
            vaddr=vaddr,
            command=sum(line.startswith(_REPLY) for line in lines[:-1]),
            booting=not any(line.startswith(b"*frame-harness") for line in lines[:-1]),
            before=before,
            after=after,
            instruction=int(guest.qmp("query-replay")["icount"]),
            callers=tuple(Vaddr(address - 1) for address in calls),
        )

    def _wait(self, guest: Guest) -> bool:
        """Take what the guest printed, so that it never waits for a reader; the answer is always no.

        QEMU 7.2 replays input for a CPU that sleeps when its main loop turns: a question makes it turn.
        """
        self._hear(guest)
        with contextlib.suppress(MonitorGone):  # QEMU has ended, which the debugger's stub says, too
            guest.qmp("query-status")
        return False

    def _hear(self, guest: Guest) -> None:
        while True:
            try:
                piece = guest.console.recv(1 << 16, socket.MSG_DONTWAIT)
            except (BlockingIOError, ConnectionResetError):
                return
            if not piece:
                return
            self._said += piece

    def _hangs(self, guest: Guest) -> Exception:
        lines = bytes(self._said).split(b"\n")
        replies = sum(line.startswith(_REPLY) for line in lines)
        why = f"its replay hangs after {replies} of {len(self._note.commands)} commands"
        return diverged(self._folder, why, guest.stderr_text())

    def _compare_end(self, guest: Guest) -> None:
        guest.wait()
        note = self._note
        if hashlib.sha256(self._said).hexdigest() != note.said:
            raise diverged(self._folder, "its replay prints something else", guest.stderr_text())
        if memory_of(guest.ram) != note.memory:
            raise diverged(self._folder, "its replay leaves other bytes in RAM")


class Patience:
    """How long a replay may go on without a write."""

    def __init__(self, guest: Guest, note: RecordingNote, stall_s: float) -> None:
        self._guest, self._stall_s = guest, stall_s
        self._most_cpu_s = guest.machine.limits.boot_cpu_s + 10 * note.cpu_s
        self.renew()

    def renew(self) -> None:
        """Begin to wait anew, as after a write."""
        self._began_cpu_s = self._guest.cpu_time_s()
        self._stall = StallWatch(self._began_cpu_s)

    def is_over(self) -> bool:
        """Whether QEMU made no progress for `stall_s` seconds, or used more CPU time than a replay may."""
        cpu_s = self._guest.cpu_time_s()
        return self._stall.look(cpu_s) > self._stall_s or cpu_s - self._began_cpu_s > self._most_cpu_s


def _number(data: NDArray[np.uint8]) -> int:
    return int.from_bytes(data.tobytes(), "little")
