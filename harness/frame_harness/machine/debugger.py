"""Talks to QEMU's debugger stub, which stops, steps, resumes single virtual CPUs.

GDB's Remote Serial Protocol, as of "Debugging with GDB", appendix E; QEMU 7.2, gdbstub.c. Whatever is sent
to a guest that runs stops it; all CPUs stop when one of them does.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Callable, Collection, Set
from dataclasses import dataclass
from typing import Final

from frame_harness.base.errors import MachineError
from frame_harness.base.units import Vaddr
from frame_harness.machine.instruction import LONGEST, stays
from frame_harness.machine.wait_limit import WaitLimit, now_and_then

SLICE_S: Final = 0.25
GLANCE_S: Final = 0.02
RSP, RIP, RFLAGS = 7, 16, 17
"""The numbers of the stack pointer, the instruction pointer and the flags among the registers of x86-64."""
INTERRUPT: Final = b"\x03"
_STOP: Final = re.compile(rb"T([0-9a-f]{2}).*?thread:p01\.([0-9a-f]+);")
_WATCHED: Final = re.compile(rb";watch:([0-9a-f]+);")
_ENDED: Final = (b"W", b"X")


class DebuggerError(MachineError):
    """The stub did not do what it was asked for."""


class NoStop(DebuggerError):
    """A CPU came to no breakpoint within the debugger's limit; it is stopped, so the guest can be let go."""


class GuestEnded(DebuggerError):
    """QEMU ended while the debugger let the guest run."""


@dataclass(frozen=True)
class Stop:
    """Why the guest stopped: a breakpoint, or a write to what is watched."""

    cpu: int
    """The one that came to it."""
    written: Vaddr | None
    """The address that was watched; None at a breakpoint."""


class Debugger:
    """A guest under a debugger, until `detach`."""

    def __init__(
        self,
        sock: socket.socket,
        alive: Callable[[], bool],
        *,
        limit_s: float,
        runs: bool = True,
        halted: Callable[[int], bool] = lambda _: False,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Stop the guest.

        Args:
            alive: tells whether QEMU still runs.
            halted: tells of a CPU that runs alone whether it executes nothing until an interrupt comes.
            limit_s: how long the stub may owe an answer, in wall-clock time.
            runs: False for a guest that was started paused.
            meanwhile: called every now and then while something runs, as what it prints has to be read.
        """
        self._sock, self._alive, self._limit_s, self._halted = sock, alive, limit_s, halted
        self._meanwhile = now_and_then(meanwhile, GLANCE_S)
        self._buffer = b""
        self._breakpoints: set[Vaddr] = set()
        self._marks: dict[Vaddr, Vaddr] = {}
        self._ordered: list[str] = []
        self._at_watched = False
        self._selected = -1
        self._at: dict[int, Vaddr] = {}
        if runs:
            self._write(INTERRUPT)
        else:
            self._send("?")
        self._stopped()
        self.ask("qSupported:multiprocess+")
        # QEMU answers `p` only after the client has read its list of registers.
        self.ask("qXfer:features:read:target.xml:0,ffb")

    # Where CPUs stop is told to QEMU when something runs next: each exchange with it takes time.

    def breakpoint(self, vaddr: Vaddr) -> None:
        """Stop every CPU that is about to execute the instruction at an address."""
        self._set({vaddr})

    def clear(self, vaddr: Vaddr) -> None:
        """Remove the breakpoint at an address."""
        self._clear({vaddr})

    def mark(self, stored: Vaddr, behind: Vaddr) -> None:
        """Stop every CPU behind the one instruction that stores to a byte.

        It costs less than a breakpoint, at which QEMU throws away all that it has translated (gdbstub.c,
        `gdb_vm_state_change`).
        """
        self._ordered.append(f"Z2,{stored:x},1")
        self._marks[behind] = stored

    def unmark(self, behind: Vaddr) -> None:
        """Take back what `mark` did for an address."""
        self._ordered.append(f"z2,{self._marks.pop(behind):x},1")

    def watch(self, vaddr: Vaddr, n_bytes: int) -> None:
        """Stop every CPU that has written to some bytes; only a write by this virtual address counts."""
        self._ordered.append(f"Z2,{vaddr:x},{n_bytes:x}")

    def go_on(self, given_up: Callable[[], bool]) -> Stop:
        """Let all CPUs run to the next breakpoint of one of them, or to the next write to what is watched.

        Args:
            given_up: asked every now and then while they run.
        Raises:
            GuestEnded: QEMU ended before.
            DebuggerError: it was given up.
        """
        last = self._selected if self._selected >= 0 else 0
        if self.rip(last) in self._breakpoints:
            self.step(last)  # a CPU that stands on a breakpoint would stop again at once
            if self.rip(last) in self._breakpoints:
                return Stop(last, None)
        self._at.clear()
        self._let_run("vCont;c")
        if not self._answered(given_up):
            raise DebuggerError("debugger", "guest", detail="it came to none of the places in time")
        answer = self._packet()
        if answer.startswith(_ENDED):
            raise GuestEnded("debugger", "guest", detail="QEMU ended")
        written = _WATCHED.search(answer)
        return Stop(self._stop_of(answer), Vaddr(int(written[1], 16)) if written else None)

    def interrupt(self) -> None:
        """Stop a guest that was let run, and that came to no place since."""
        self._write(INTERRUPT)
        self._stopped()
        self._at.clear()

    def step(self, cpu: int) -> Vaddr:
        """Let one CPU execute one instruction, of a repeated one a single round; returns where it is then."""
        before = self.rip(cpu)
        while True:
            self._resume(f"vCont;s:p1.{cpu + 1:x}", cpu)
            # On a busy host QEMU 7.2 now and then stops at once: the CPU has executed nothing.
            if (at := self.rip(cpu)) != before or stays(self.memory(at, LONGEST), at):
                return at

    def run(self, cpu: int) -> Vaddr:
        """Let one CPU alone run to the next breakpoint; returns where it is then.

        Raises:
            NoStop: it comes to none in time.
        """
        at = self.run_unless(cpu, lambda: False)
        if at is None:
            raise AssertionError("nobody gave it up")
        return at

    def run_to(self, cpu: int, places: Collection[Vaddr]) -> Vaddr:
        """Let one CPU alone run to one of some places, or to a breakpoint; returns where it is then."""
        added = {*places} - self._breakpoints
        self._set(added)
        at = self.run(cpu)
        self._clear(added)
        return at

    def run_unless(self, cpu: int, given_up: Callable[[], bool]) -> Vaddr | None:
        """Let one CPU alone run to the next breakpoint; returns where. None: it was stopped on the way.

        Args:
            given_up: asked every now and then while the CPU runs; True stops it.
        Raises:
            NoStop: it halts, or the debugger's limit came first.
        """
        until, began = WaitLimit(self._limit_s, lambda: self._halted(cpu)), self.rip(cpu)
        if began in self._breakpoints and (at := self.step(cpu)) in self._breakpoints:
            # A CPU that stands on a breakpoint would stop again at once, therefore the step.
            return at
        while True:
            self._let_go_on(f"vCont;c:p1.{cpu + 1:x}", cpu)
            in_time = self._answered(lambda: given_up() or until.is_over())
            if in_time:
                self._expect_stopped(cpu, "vCont;c")
            else:
                self._write(INTERRUPT)
                self._stopped()  # it names any CPU
            # It may have come to a breakpoint just when it was stopped.
            if (at := self.rip(cpu)) in self._breakpoints:
                return at
            # One that begins at a mark and executes nothing does not come there.
            if at in self._marks and (self._at_watched if in_time else at != began):
                return at
            if until.is_over():
                raise NoStop("debugger", f"cpu {cpu}", detail=until.why)
            if not in_time:
                return None

    def jump(self, cpu: int, vaddr: Vaddr) -> None:
        """Let a CPU go on at another instruction."""
        self._select(cpu)
        self._expect_ok(f"P{RIP:x}={vaddr.to_bytes(8, 'little').hex()}")
        self._at[cpu] = vaddr

    def registers(self, cpu: int) -> tuple[int, ...]:
        """RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 to R15, RIP of a CPU.

        Raises:
            DebuggerError: QEMU tells fewer registers.
        """
        self._select(cpu)
        answer = self.ask("g")
        if len(answer) < 16 * (RIP + 1):
            raise DebuggerError(
                "debugger", "g", expected=f"{16 * (RIP + 1)} hex digits", actual=repr(answer[:40])
            )
        data = bytes.fromhex(answer[: 16 * (RIP + 1)].decode("ascii"))
        return tuple(int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8))

    def flags(self, cpu: int) -> int:
        """The lower half of RFLAGS of a CPU."""
        self._select(cpu)
        return int.from_bytes(bytes.fromhex(self.ask(f"p{RFLAGS:x}").decode("ascii")), "little")

    def memory(self, vaddr: Vaddr, n_bytes: int) -> bytes:
        """What the CPU that was asked last finds at an address; nothing where no memory is mapped."""
        answer = self.ask(f"m{vaddr:x},{n_bytes:x}")
        return b"" if answer.startswith(b"E") else bytes.fromhex(answer.decode("ascii"))

    def rip(self, cpu: int) -> Vaddr:
        """The address of the instruction that a CPU is about to execute.

        Raises:
            DebuggerError: QEMU tells no address.
        """
        # While others run alone, a CPU stays where it is.
        if cpu not in self._at:
            self._select(cpu)
            answer = self.ask(f"p{RIP:x}")
            if len(answer) != 16:
                raise DebuggerError("debugger", "rip", expected="16 hex digits", actual=repr(answer))
            self._at[cpu] = Vaddr(int.from_bytes(bytes.fromhex(answer.decode("ascii")), "little"))
        return self._at[cpu]

    def _select(self, cpu: int) -> None:
        if cpu != self._selected:
            self._expect_ok(f"Hgp1.{cpu + 1:x}")
            self._selected = cpu

    def detach(self) -> None:
        """Let everything run freely; the guest can be stopped again by a new debugger."""
        for vaddr in tuple(self._breakpoints):
            self.clear(vaddr)
        for vaddr in tuple(self._marks):
            self.unmark(vaddr)
        self._let_run("vCont;c")

    def ask(self, packet: str) -> bytes:
        """Send one packet to a stopped guest; returns the answer."""
        self._send(packet)
        return self._packet()

    def _resume(self, packet: str, cpu: int) -> None:
        """Let a CPU go on until it stops by itself; raises `NoStop` where it does not."""
        self._let_go_on(packet, cpu)
        until = WaitLimit(self._limit_s, lambda: self._halted(cpu))
        if not self._answered(until.is_over):
            self._write(INTERRUPT)
            self._stopped()
            raise NoStop("debugger", f"cpu {cpu}", detail=until.why)
        self._expect_stopped(cpu, packet)

    def _let_go_on(self, packet: str, cpu: int) -> None:
        self._at.pop(cpu, None)
        self._let_run(packet)

    def _let_run(self, packet: str) -> None:
        """Let something run that stops where it was ordered to.

        Raises:
            DebuggerError: QEMU refuses one of these places; what ran without it is stopped.
        """
        self._meanwhile()
        ordered, self._ordered = self._ordered, []
        self._write(b"".join(map(_framed, (*ordered, packet))))
        answers = [(each, self._packet()) for each in ordered]
        for each, answer in answers:
            if answer != b"OK":
                self._write(INTERRUPT)
                self._stopped()
                raise _refused(each, answer)

    def _expect_stopped(self, cpu: int, packet: str) -> None:
        stopped = self._stopped()
        if stopped != cpu:
            raise DebuggerError("debugger", packet, expected=f"cpu {cpu} to stop", actual=f"cpu {stopped}")

    def _set(self, places: Set[Vaddr]) -> None:
        self._ordered += [f"Z1,{vaddr:x},1" for vaddr in places]
        self._breakpoints |= places

    def _clear(self, places: Set[Vaddr]) -> None:
        self._ordered += [f"z1,{vaddr:x},1" for vaddr in places]
        self._breakpoints -= places

    def _expect_ok(self, packet: str) -> None:
        """Send a packet, and require that it is carried out."""
        if (answer := self.ask(packet)) != b"OK":
            raise _refused(packet, answer)

    def _stopped(self) -> int:
        return self._stop_of(self._packet())

    def _stop_of(self, answer: bytes) -> int:
        if answer.startswith(_ENDED):
            raise GuestEnded("debugger", "guest", detail="QEMU ended")
        match, self._at_watched = _STOP.match(answer), _WATCHED.search(answer) is not None
        if match is None and not answer.startswith(b"T"):
            raise DebuggerError("debugger", "stop reply", expected="T…thread:…", actual=repr(answer))
        # Before multiprocess was agreed on there is only "thread:01". The stub selects the CPU that stopped.
        self._selected = int(match[2], 16) - 1 if match else -1
        return self._selected

    def _send(self, packet: str) -> None:
        self._write(_framed(packet))

    def _write(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise GuestEnded("debugger", "connection", detail="it ended") from error

    def _answered(self, given_up: Callable[[], bool]) -> bool:
        """Wait until the stub says something; False when the waiting was given up."""
        while b"$" not in self._buffer:
            if select.select([self._sock], [], [], GLANCE_S)[0]:
                self._take()
            elif not self._alive():
                raise GuestEnded("debugger", "answer", detail="none came; QEMU is gone")
            elif given_up():
                return False
            self._meanwhile()
        return True

    def _packet(self) -> bytes:
        """The next packet of the stub.

        It needs no acknowledgement of its own: whatever is sent next is one (gdbstub.c, `gdb_read_byte`).
        """
        until = time.monotonic() + self._limit_s
        while True:
            start = self._buffer.find(b"$")
            end = self._buffer.find(b"#", start)
            if 0 <= start < end and len(self._buffer) >= end + 3:
                data = self._buffer[start + 1 : end]
                self._buffer = self._buffer[end + 3 :]
                return data
            self._receive(until)

    def _receive(self, until: float) -> None:
        while not select.select([self._sock], [], [], SLICE_S)[0]:
            if not self._alive():
                raise GuestEnded("debugger", "answer", detail="none came; QEMU is gone")
            if time.monotonic() > until:
                raise DebuggerError("debugger", "answer", detail="none came in time")
        self._take()

    def _take(self) -> None:
        try:
            piece = self._sock.recv(1 << 16)  # ours: more than a reply has
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise GuestEnded("debugger", "connection", detail="it ended")
        self._buffer += piece


def _refused(packet: str, answer: bytes) -> DebuggerError:
    return DebuggerError("debugger", packet, expected="OK", actual=repr(answer))


def _framed(packet: str) -> bytes:
    """A packet with its checksum ("Debugging with GDB", appendix E, "Overview")."""
    data = packet.encode("ascii")
    return b"$%s#%02x" % (data, sum(data) & 0xFF)
