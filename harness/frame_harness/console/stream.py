"""Reads whole lines from the console's socket; the only user of pexpect."""

from __future__ import annotations

import fcntl
import re
import select
import socket
import sys
import termios
import time
from collections import deque
from typing import Final, Protocol

import pexpect
from pexpect.socket_pexpect import SocketSpawn

from frame_harness.base.errors import ConsoleError
from frame_harness.console.transcript import Transcript

MAX_LINE_BYTES: Final = 16 << 10
"""Longer than any line of the protocol; what goes on without a newline is cut here."""
READ_BYTES: Final = 64 << 10
TAIL_LINES: Final = 60
COLLECT_S: Final = 100e-6
"""How long a line that has begun is left to grow.

The chip sends byte by byte, and `poll` returns for each: no event says that a line is whole. Without this
pause a long answer takes more than three times the CPU time here, and no less wall-clock time.
"""

# All lines that are complete, in one match: one search a read, not one a line.
_LINES: Final = re.compile(rb"(?s)\A.*\n|\A.{%d,}" % MAX_LINE_BYTES)


class Watch(Protocol):
    """Decides how long waiting still makes sense."""

    @property
    def poll_s(self) -> float:
        """How long to wait for bytes before `check` is asked again."""

    def check(self, received: int) -> None:
        """Raise when a limit is reached; `received` counts all bytes that ever came."""


class _Spawn(SocketSpawn):  # type: ignore[misc]
    """pexpect's view of the console."""

    def __init__(self, sock: socket.socket, transcript: Transcript) -> None:
        super().__init__(sock, maxread=READ_BYTES)
        # Pauses meant for programs on a terminal; a chip with flow control needs none.
        self.delaybeforesend = self.delayafterread = None
        self.transcript = transcript
        self._gone = False
        self._poller = select.poll()
        self._poller.register(sock, select.POLLIN)

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> bytes:
        # pexpect 4.9 changes the socket's timeout for each read, keeps no log of what a socket said, and lets
        # a connection that was reset (QEMU died with input unread) escape as an error instead of as the end.
        wait_s = self.timeout if timeout == -1 else timeout
        until = None if wait_s is None else time.monotonic() + wait_s
        data = bytearray()
        # The chip sends byte by byte: collecting a line here saves a turn through pexpect for each.
        while len(data) < size and data[-1:] != b"\n":
            wait_ms = None if until is None else max(0, int(1000 * (until - time.monotonic())))
            if not self._poller.poll(wait_ms):
                break
            piece = self._receive(size - len(data))
            if not piece:
                self._gone = True
                break
            data += piece
            if data[-1:] != b"\n":
                time.sleep(COLLECT_S)
        if data:
            self.transcript.append(bytes(data))
            return bytes(data)
        if self._gone:
            self.flag_eof = True
            raise pexpect.EOF("the connection ended")
        raise pexpect.TIMEOUT("no bytes")

    def _receive(self, size: int) -> bytes:
        try:
            return bytes(self.socket.recv(size))
        except ConnectionResetError:
            return b""


class LineStream:
    """The lines that a guest says, with a transcript of all of them."""

    def __init__(self, sock: socket.socket) -> None:
        self.transcript = Transcript()
        self._spawn = _Spawn(sock, self.transcript)
        self._socket = sock
        self._ready: deque[bytes] = deque()
        self._recent: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._patterns = [_LINES, pexpect.EOF, pexpect.TIMEOUT]
        self.ended = False
        self.cut_off = b""
        """What stood behind the last newline when it ended."""

    def next_line(self, watch: Watch) -> bytes | None:
        """Return the next line without its newline; None at the end of the stream.

        A last line without a newline is never returned: half an answer could be read as a whole one. It shows
        in `tail`. Raises what the watch raises.
        """
        while not self._ready:
            if self.ended:
                return None
            self._read(watch.poll_s)
            watch.check(self.transcript.n_received)
        line = self._ready.popleft()
        self._recent.append(line)
        return line

    def peek(self, watch: Watch) -> bytes | None:
        """Return the next line if it is here or comes at once, without taking it."""
        if not self._ready and not self.ended:
            self._read(watch.poll_s)
        return self._ready[0] if self._ready else None

    def collect(self, count: int, watch: Watch) -> None:
        """Wait until so many more bytes came, whole lines or not; fewer where the stream ends.

        Raises what the watch raises.
        """
        enough = self.transcript.n_received + count
        while self.transcript.n_received < enough:
            try:
                data = self._spawn.read_nonblocking(enough - self.transcript.n_received, watch.poll_s)
                self._spawn.buffer += data
            except pexpect.TIMEOUT:
                pass  # the watch says how long that goes on
            except pexpect.EOF:
                return  # whoever reads the next line learns of it
            watch.check(self.transcript.n_received)

    def listen(self) -> None:
        """Take what is here: a guest whose console nobody reads waits for that, once the socket is full."""
        if not self.ended:
            self._read(0)

    def replay(self, data: bytes) -> None:
        """Take whole lines as if the guest had said them, and as if somebody had taken them."""
        self.transcript.append(data)
        self._recent.extend(_split(data))

    @property
    def quiet(self) -> bool:
        """Whether all that came was taken, nothing has begun or is here, and the guest took what was sent."""
        if self._ready or self._spawn.buffer or select.select([self._socket], [], [], 0)[0]:
            return False
        # What the other side has not read yet: SIOCOUTQ in `unix_ioctl`, net/unix/af_unix.c, Linux 6.1.
        unread = fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(unread, sys.byteorder) == 0

    def send(self, data: bytes) -> None:
        """Send bytes to the guest; that it is gone shows in the next read.

        Raises:
            ConsoleError: the guest has not read what was sent before.
        """
        try:
            sent = self._socket.send(data, socket.MSG_DONTWAIT)
        except (BrokenPipeError, ConnectionResetError):
            return
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            raise ConsoleError("console", "send", expected=f"{len(data)} bytes taken", actual=sent)

    def tail(self, n_lines: int = TAIL_LINES) -> tuple[bytes, ...]:
        """Return the last lines, those that nobody has taken yet included."""
        cut_off = (self.cut_off,) if self.cut_off else ()
        return (*self._recent, *self._ready, *cut_off)[-n_lines:]

    def _read(self, wait_s: float) -> None:
        index = self._spawn.expect_list(self._patterns, timeout=wait_s)
        if index == 0:
            self._ready.extend(_split(bytes(self._spawn.after)))
        elif index == 1:
            self.ended = True
            self.cut_off = bytes(self._spawn.before)


def _split(data: bytes) -> list[bytes]:
    return data.removesuffix(b"\n").split(b"\n")
