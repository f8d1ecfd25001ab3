"""Holds the conversation with the kernel in the guest."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from frame_harness.base.errors import BootError, ConsoleError, HarnessError, ProtocolError, UsageError
from frame_harness.base.text import printable
from frame_harness.console.protocol import (
    MAX_REQUEST_BYTES,
    PROTOCOL_VERSION,
    Banner,
    Crash,
    CrashReport,
    Data,
    Line,
    Log,
    Noise,
    ReplyLine,
    parse_crash,
    parse_line,
    quote_line,
)
from frame_harness.console.stream import LineStream, Watch
from frame_harness.console.transcript import Transcript

T = TypeVar("T")
TAIL_LINES: Final = 20
FOREIGN_BYTES: Final = (
    "where code of the kernel writes to COM1 by itself, its bytes stand between those of the protocol: print"
    " with `serial_println!` or the crate `log`, or to another port"
)
# "3 panic file=…": the outcome of one command of a batch; its own data lines stand between
_PANIC_IN_BATCH: Final = re.compile(r"[0-9]{1,6} panic file=")


class GuestGone(ConsoleError):
    """The console ended in the middle of something; the reason is in QEMU's exit status."""

    def __init__(self, what: str, tail: tuple[str, ...]) -> None:
        super().__init__("console", what, detail="the guest is gone", evidence="\n".join(tail))
        self.tail = tail


class CrashReported(ConsoleError):
    """The guest reported a panic or an exception, then ended."""

    def __init__(self, what: str, report: CrashReport) -> None:
        super().__init__("crash", what, detail=report.describe(), evidence="\n".join(report.lines))
        self.report = report


@dataclass(frozen=True)
class Answer:
    """All that a request brought."""

    command: str
    reply: ReplyLine
    data: tuple[str, ...] = ()
    crashes: tuple[CrashReport, ...] = ()
    """Reports of panics that were recovered."""


@dataclass(frozen=True)
class Ending:
    """What the guest said from the last answer to the end of the stream."""

    lines: tuple[str, ...]
    crash: CrashReport | None


class Channel:
    """One request at a time, each answered exactly once; the first failure ends the conversation for good."""

    def __init__(self, sock: socket.socket) -> None:
        self._stream = LineStream(sock)
        self._seq = 0
        self._failure: HarnessError | None = None
        self._report: list[str] | None = None
        self.banner: Banner | None = None
        self._sent = ""
        """The last request as it was sent."""

    @classmethod
    def at_prompt(cls, sock: socket.socket, banner: Banner, said: bytes) -> Channel:
        """Return the conversation with a guest that was put back to its prompt, having said `said`."""
        channel = cls(sock)
        channel.banner = banner
        channel._stream.replay(said)
        return channel

    def wake(self) -> None:
        """Send an empty line, which a guest that waits for requests does not answer."""
        self._stream.send(b"\n")

    def listen(self) -> None:
        """Take what the guest has said so far, for whoever asks it something next."""
        self._stream.listen()

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way, in either direction."""
        return self._failure is None and self._stream.quiet

    @property
    def transcript(self) -> Transcript:
        """What the guest printed: the beginning and the end of it, with times."""
        return self._stream.transcript

    def tail(self, n_lines: int = TAIL_LINES) -> tuple[str, ...]:
        """Return the last lines from the guest, fit for a terminal."""
        return tuple(quote_line(line) for line in self._stream.tail(n_lines))

    def boot(self, watch: Watch, *, nonce: str, build_id: str | None = None) -> Banner:
        """Wait for the banner, check that it is this very boot of this very image.

        Raises:
            BootError: somebody else speaks.
            CrashReported: the guest reported a crash, whether it came to the banner behind that or not.
            GuestGone, ProtocolError, what the watch raises.
        """
        return self._guarded(lambda: self._boot(watch, nonce, build_id))

    def request(self, command: str, watch: Watch) -> Answer:
        """Send one request, return its answer; `fail`, `err` and recovered panics are answers, too.

        Raises:
            UsageError: this is not one line of visible ASCII, or it is too long; nothing was sent.
            CrashReported, GuestGone, ProtocolError, what the watch raises.
        """
        self.require_line(command)

        def converse() -> Answer:
            try:
                return self._request(command, watch)
            except ProtocolError as error:
                pair: dict[str, Any] = {"expected": error.expected, "actual": error.actual}
                seen = {name: value for name, value in pair.items() if value is not None}
                raise ProtocolError(error.what, error.which, detail=FOREIGN_BYTES, **seen) from error

        return self._guarded(converse)

    def require_line(self, command: str) -> None:
        """Refuse what cannot be sent as the next request; raises `UsageError` as `request` does."""
        line = f"{self._seq + 1} {command}"
        if not command.isascii() or not command.isprintable() or not command.strip():
            raise UsageError("request", repr(command[:80]), expected="one line of visible ASCII")
        if len(line) > MAX_REQUEST_BYTES:
            shown = f"{len(line)} bytes"
            raise UsageError(
                "request", command[:40], expected=f"at most {MAX_REQUEST_BYTES} bytes", actual=shown
            )

    def type(self, text: bytes, watch: Watch) -> tuple[str, ...]:
        """Send bytes as a person would, return the lines up to the reply, the echo among them."""

        def converse() -> tuple[str, ...]:
            self._stream.send(text)
            lines: list[str] = []
            while True:
                raw = self._raw_line("typing", watch)
                lines.append(quote_line(raw))
                if raw.startswith(b"=0 "):
                    return tuple(lines)

        return self._guarded(converse)

    def finish(self, watch: Watch) -> Ending:
        """Read to the end of the stream; works also after a failure."""
        lines: list[str] = []
        report: list[str] = self._report or []
        complete = False
        for raw in self._last_lines(watch):
            lines.append(quote_line(raw))
            if not raw.startswith(b"!"):
                continue
            text = printable(raw[1:].decode("latin-1"))
            if Crash(text).is_head:  # of several the last one tells what ended the guest
                report, complete = [text], False
            elif Crash(text).is_end:
                complete = True
            elif report:
                report.append(text)
        self._report = None
        crash = parse_crash(report, complete=complete) if report else None
        return Ending(tuple(lines), crash)

    def _last_lines(self, watch: Watch) -> Iterator[bytes]:
        """All lines to come, one that breaks off at the end of the stream, too."""
        while (raw := self._stream.next_line(watch)) is not None:
            yield raw
        if self._stream.cut_off:
            yield self._stream.cut_off

    def _guarded(self, work: Callable[[], T]) -> T:
        if self._failure is not None:
            raise ConsoleError(
                "console", "closed", detail=f"after: {self._failure.summary}"
            ) from self._failure
        try:
            return work()
        except HarnessError as error:
            self._failure = error
            raise

    def _boot(self, watch: Watch, nonce: str, build_id: str | None) -> Banner:
        crashes: list[CrashReport] = []
        while True:
            raw = self._raw_line("boot", watch, crashes)
            if not raw.startswith((b"*frame-harness", b"!")):
                # Firmware may print what it likes; only the kernel's own marks count before the banner.
                continue
            line = parse_line(raw)
            if isinstance(line, Banner):
                if crashes:  # no banner admits one, as the reply to a request does
                    raise CrashReported("boot", crashes[-1])
                self.banner = _checked(line, nonce, build_id)
                return line
            if isinstance(line, Crash):
                crashes.append(self._crash(line, "boot", watch))

    def _send(self, command: str, watch: Watch) -> int:  # noqa: ARG002  (others wait for an echo)
        """Send a request; return the number that its reply has to have."""
        self._seq += 1
        line = f"{self._seq} {command}"
        self._sent = line
        self._stream.send(line.encode("ascii") + b"\n")
        return self._seq

    def _request(self, command: str, watch: Watch) -> Answer:
        sequence = self._send(command, watch)
        what = f"request {self._sent[:80]!r}"
        data: list[str] = []
        crashes: list[CrashReport] = []
        while True:
            answer = self._parsed(self._raw_line(what, watch, crashes), watch)
            if isinstance(answer, ReplyLine):
                if answer.seq != sequence:
                    raise ProtocolError("reply", what, expected=f"={sequence}", actual=f"={answer.seq}")
                whole = Answer(command, answer, tuple(data), tuple(crashes))
                _check_crashes(whole, what)
                return whole
            if isinstance(answer, Data):
                data.append(answer.text)
            elif isinstance(answer, Crash):
                crashes.append(self._crash(answer, what, watch))
            elif not isinstance(answer, Log):
                raise ProtocolError("console line", what, expected="an answer", actual=_kind(answer))

    def _crash(self, head: Crash, what: str, watch: Watch) -> CrashReport:
        """Read the rest of a crash report; return it whole."""
        if not head.is_head:
            raise ProtocolError("crash report", what, expected="its head first", actual=repr(head.text[:80]))
        self._report = [head.text]
        while True:
            raw = self._stream.next_line(watch)
            if raw is None:
                raise CrashReported(what, parse_crash(self._report, complete=False))
            line = parse_line(raw)
            if isinstance(line, Log):
                continue  # the message of a panic may log while it is made
            if not isinstance(line, Crash):
                raise ProtocolError("crash report", what, expected="its end", actual=quote_line(raw)[:80])
            if line.is_end:
                report = parse_crash(self._report)
                self._report = None
                return report
            self._report.append(line.text)

    def _raw_line(self, what: str, watch: Watch, crashes: list[CrashReport] | None = None) -> bytes:
        raw = self._stream.next_line(watch)
        if raw is not None:
            return raw
        if crashes:
            raise CrashReported(what, crashes[-1])
        raise GuestGone(what, self.tail())

    def _parsed(self, raw: bytes, watch: Watch) -> Line:
        try:
            return parse_line(raw)
        except ProtocolError:
            # A crash in the middle of a line cuts it off; then the crash is what happened.
            if (self._stream.peek(watch) or b"").startswith(b"!"):
                return Log(quote_line(raw))
            raise


def _checked(banner: Banner, nonce: str, build_id: str | None) -> Banner:
    for name, expected, actual, hint in (
        ("protocol version", str(PROTOCOL_VERSION), str(banner.proto), "build the kernel again"),
        ("nonce", nonce, banner.nonce, "this is another boot than the one that was asked for"),
        ("build-id", build_id, banner.build, "the image that runs is not the image that was built"),
    ):
        if expected is not None and expected != actual:
            raise BootError("banner", name, expected=repr(expected), actual=repr(actual), next_step=hint)
    return banner


def _check_crashes(answer: Answer, what: str) -> None:
    """Each report belongs to a panic that the answer admits, and each such panic has its report."""
    admitted = int(answer.reply.status == "panic")
    if answer.command.split(" ", 1)[0] == "batch":
        admitted += sum(_PANIC_IN_BATCH.match(text) is not None for text in answer.data)
    if admitted != len(answer.crashes):
        raise ProtocolError("reply", what, expected=f"{len(answer.crashes)} panics", actual=admitted)


def _kind(line: Line) -> str:
    if not isinstance(line, Noise):
        return type(line).__name__.lower()
    return quote_line(line.raw) or "an empty line"
