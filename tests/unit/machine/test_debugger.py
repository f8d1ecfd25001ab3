"""Proves what is sent to the debugger stub, and what becomes of a place that it refuses."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from frame_harness.base.units import Vaddr
from frame_harness.machine.debugger import Debugger, DebuggerError

# QEMU 7.2, gdbstub.c: what it says of CPU 0.
STOPPED = b"T05thread:p01.01;"
MARKED = b"T05thread:p01.01;watch:2000;"
PLACE, STORED = Vaddr(0x1000), Vaddr(0x2000)


class Stub:
    """Answers as QEMU's stub does: CPU 0 comes to the place once it runs, unless a place was refused."""

    def __init__(self, sock: socket.socket, refuses: str) -> None:
        self._sock, self._refuses = sock, refuses
        self.heard: list[str] = []
        self._rip = Vaddr(0x500)
        self.stops: list[bytes] = []
        """What is answered to the next packets that let a CPU run, before `STOPPED`."""
        self.writes: list[int] = []
        """How many packets came at once."""
        self.read = threading.Event()
        """Set once somebody reads what the guest prints; as long as it is not, no CPU gets anywhere."""

    def serve(self) -> None:
        while data := self._sock.recv(1 << 16):
            packets = re.findall(rb"\$([^#]*)#..|(\x03)", data)
            self.writes.append(len(packets))
            for packet, interrupt in packets:
                text = "interrupt" if interrupt else packet.decode("ascii")
                self.heard.append(text)
                self._sock.sendall(b"".join(b"$%s#00" % answer for answer in self._answers(text)))

    def _answers(self, packet: str) -> Iterator[bytes]:
        if packet.startswith("vCont"):
            if not self._refuses:
                self.read.wait()
                self._rip = PLACE
                yield self.stops.pop(0) if self.stops else STOPPED
        elif packet == "interrupt":
            yield STOPPED
        elif packet == "p10":
            yield self._rip.to_bytes(8, "little").hex().encode()
        else:
            yield b"E22" if self._refuses and packet.startswith(self._refuses) else b"OK"


@pytest.fixture
def attached() -> Iterator[Callable[[str], tuple[Debugger, Stub]]]:
    """Attach to a stub that refuses packets which begin in some way."""
    with ThreadPoolExecutor() as threads:
        ours, theirs = socket.socketpair()
        with ours:

            def attach(refuses: str) -> tuple[Debugger, Stub]:
                stub = Stub(theirs, refuses)
                threads.submit(stub.serve)
                return Debugger(ours, lambda: True, limit_s=60.0, meanwhile=stub.read.set), stub

            yield attach


def test_places_are_told_with_what_lets_a_cpu_run(
    attached: Callable[[str], tuple[Debugger, Stub]],
) -> None:
    debugger, stub = attached("")
    debugger.breakpoint(PLACE)
    debugger.mark(STORED, PLACE)
    assert debugger.run(0) == PLACE
    first = stub.heard.index("Z1,1000,1")
    assert stub.heard[first : first + 3] == ["Z1,1000,1", "Z2,2000,1", "vCont;c:p1.1"]
    assert stub.writes[-2] == 3, "they came one by one"


def test_what_is_taken_back_is_told_before_anything_runs_on(
    attached: Callable[[str], tuple[Debugger, Stub]],
) -> None:
    debugger, stub = attached("")
    stub.stops = [MARKED]
    debugger.mark(STORED, PLACE)
    debugger.run(0)
    debugger.unmark(PLACE)
    debugger.mark(Vaddr(0x3000), PLACE)
    debugger.detach()
    debugger.interrupt()
    behind = stub.heard[stub.heard.index("vCont;c:p1.1") + 1 :]
    assert [one for one in behind if one[0] in "Zzv"] == ["z2,2000,1", "Z2,3000,1", "z2,3000,1", "vCont;c"]


def test_a_cpu_that_stops_at_a_mark_without_a_store_has_not_come_there(
    attached: Callable[[str], tuple[Debugger, Stub]],
) -> None:
    """A CPU begins its next command where the last one ended: the answer of that one would be taken."""
    debugger, stub = attached("")
    stub.stops = [STOPPED, STOPPED, MARKED]
    debugger.mark(STORED, PLACE)
    assert debugger.run(0) == PLACE
    assert stub.heard.count("vCont;c:p1.1") == 3


def test_a_place_that_is_refused_is_named_and_nothing_runs_on(
    attached: Callable[[str], tuple[Debugger, Stub]],
) -> None:
    debugger, stub = attached("Z2")
    debugger.mark(STORED, PLACE)
    debugger.breakpoint(PLACE)
    with pytest.raises(DebuggerError, match="Z2,2000,1"):
        debugger.run(0)
    assert stub.heard[-2:] == ["vCont;c:p1.1", "interrupt"]


def test_what_a_guest_prints_is_read_while_a_cpu_runs(
    attached: Callable[[str], tuple[Debugger, Stub]],
) -> None:
    """A guest whose console is full waits, and would be taken for one that hangs."""
    debugger, stub = attached("")
    debugger.breakpoint(PLACE)
    stub.read.clear()
    assert debugger.run(0) == PLACE
