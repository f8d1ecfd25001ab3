"""Reads the lines of the console protocol.

One request line, any number of log and data lines, exactly one reply line. The first character of a line
tells what it is; a line that begins with none of the marks is noise (a firmware's, or a person's echo).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, cast
from urllib.parse import unquote_to_bytes

from frame_harness.base.errors import ProtocolError, quote_bytes
from frame_harness.base.units import Vaddr

PROTOCOL_VERSION: Final = 1
MAX_REQUEST_BYTES: Final = 4096

Status = Literal["ok", "fail", "err", "panic"]

_MOST_SHOWN: Final = 400
"""Bytes of a line."""
_VISIBLE: Final = re.compile(rb"[\t -~]*")
# "12 ok v=1 at=0x1000", "0 fail OutOfMemory", "7 err usage alloc: …", "9 panic file=src/a.rs line=3
# msg=no%20slot"
_REPLY: Final = re.compile(r"(?P<seq>[0-9]{1,20}) (?P<status>ok|fail|err|panic)(?: (?P<rest>.*))?")
_PANIC_REPLY: Final = re.compile(r"file=(?P<file>\S*) line=(?P<line>[0-9]{1,10}) msg=(?P<message>\S*)")
# "2 fail OutOfMemory" as a line of a batch
_BATCH: Final = re.compile(r"(?P<index>[0-9]{1,6}) (?P<status>ok|fail|err|panic)(?: (?P<rest>.*))?")
# e.g. "panic file=src/memory/frame.rs line=281 col=13"
_PANIC: Final = re.compile(r"panic file=(?P<file>.*) line=(?P<line>[0-9]{1,10}) col=(?P<column>[0-9]{1,10})")
# e.g. "exception vector=14 name=#PF error=0x2 rip=0xffffffff80101234 cr2=0x8"
_EXCEPTION: Final = re.compile(r"exception (?P<fields>.+)")
_STRAY: Final = "interrupts were enabled in a call that is made with interrupts disabled"


class Fields(Mapping[str, str]):
    """The `key=value` words of a line; numbers are read on demand."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, key: str) -> str:
        try:
            return self._values[key]
        except KeyError:
            known = ", ".join(self._values) or "none"
            raise ProtocolError("reply", "fields", expected=f"{key}=", actual=known) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self._values.items())

    def int(self, key: str) -> int:
        """Read a number, decimal or 0x….

        Raises:
            ProtocolError: it is missing, or no number.
        """
        try:
            return int(self[key], 0)
        except ValueError:
            raise ProtocolError("reply", key, expected="a number", actual=repr(self[key])) from None

    def flag(self, key: str) -> bool:
        """Read 0 or 1; raises `ProtocolError` for anything else."""
        if self[key] not in ("0", "1"):
            raise ProtocolError("reply", key, expected="0 or 1", actual=repr(self[key]))
        return self[key] == "1"

    def bytes(self, key: str) -> bytes:
        """Read hexadecimal digits, two a byte; raises `ProtocolError` for anything else."""
        try:
            return bytes.fromhex(self[key])
        except ValueError:
            raise ProtocolError("reply", key, expected="hex digits", actual=repr(self[key])) from None


@dataclass(frozen=True)
class ReplyLine:
    """The one answer to a request."""

    seq: int
    status: Status
    code: str = ""
    """Of `fail` the subject's error, of `err` the reason of the refusal."""
    text: str = ""
    """Of `err` the explanation, of `panic` the message."""
    file: str = ""
    line: int = 0
    fields: Fields = field(default_factory=lambda: Fields({}))


@dataclass(frozen=True)
class Banner:
    """The line with which a booted kernel says who it is."""

    proto: int
    build: str
    nonce: str
    fields: Fields


@dataclass(frozen=True)
class Log:
    """A line `# text`, never an answer."""

    text: str


@dataclass(frozen=True)
class Data:
    """A line `: text` of the running request."""

    text: str


@dataclass(frozen=True)
class Crash:
    """A line of a crash report, without its mark: its head, a detail (beginning with a blank), or `end`."""

    text: str

    @property
    def is_head(self) -> bool:
        """Whether a report begins here."""
        return self.text.startswith(("panic ", "exception "))

    @property
    def is_end(self) -> bool:
        """Whether a report ends here."""
        return self.text == "end"


@dataclass(frozen=True)
class Noise:
    """A line that is not part of the protocol."""

    raw: bytes


Line = ReplyLine | Banner | Log | Data | Crash | Noise


@dataclass(frozen=True)
class CrashReport:
    """What the guest said about a panic or an exception."""

    kind: Literal["panic", "exception"]
    message: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    cpu: int | None = None
    """Where it happened, in a guest with several CPUs."""
    fields: Fields = field(default_factory=lambda: Fields({}))
    """Of an exception: vector, name, error, rip, cr2."""
    overflow: Fields | None = None
    """The stack that ran over: cpu, name (`main` or `ist1` to `ist7`), guard."""
    registers: Mapping[str, int] = field(default_factory=dict)
    backtrace: tuple[Vaddr, ...] = ()
    """Return addresses, innermost first."""
    complete: bool = True
    """Whether the report came to its end, and each line of it could be read."""
    lines: tuple[str, ...] = ()

    def describe(self) -> str:
        """Say in one line what crashed."""
        cut = "" if self.complete else " (the report is cut off)"
        cut = cut if self.cpu is None else f" on cpu {self.cpu}{cut}"
        if self.kind == "panic" and not self.file:
            return f"{self.message}{cut}"
        if self.kind == "panic":
            return f"panic at {self.file}:{self.line}:{self.column}: {self.message}{cut}"
        if self.overflow is not None:
            cpu, guard = self.overflow.int("cpu"), self.overflow.int("guard")
            name = self.overflow["name"]
            stack = "main stack" if name == "main" else f"exception stack {name}"
            return f"stack overflow on CPU {cpu}: guard page of its {stack} at {guard:#x}"
        if dict(self.fields).get("name") == "stray":
            return f"{_STRAY}: {self.fields!r}{cut}"
        return f"exception {self.fields!r}{': ' + self.message if self.message else ''}{cut}"


def parse_line(raw: bytes) -> Line:
    """Read one line, without its newline.

    Raises:
        ProtocolError: the line carries a mark, but is not what the mark promises.
    """
    raw = raw.removesuffix(b"\r")
    if not _VISIBLE.fullmatch(raw):
        return Noise(raw)
    text = raw.decode("ascii")
    mark, rest = text[:1], text[1:]
    if mark == "#":
        return Log(rest.removeprefix(" "))
    if mark == ":" and rest[:1] in ("", " "):
        return Data(rest[1:])
    if mark == "!":
        return _crash_line(rest)
    if mark == "=":
        return _reply(rest)
    if text.startswith("*frame-harness"):
        return _banner(text)
    return Noise(raw)


def parse_fields(words: str) -> Fields:
    """Read `k=v k=v`.

    Raises:
        ProtocolError: a word has no `=`, no key, or a key that was there before.
    """
    values: dict[str, str] = {}
    for word in words.split():
        key, equals, value = word.partition("=")
        if not equals or not key or key in values:
            raise ProtocolError("console line", repr(words[:200]), expected="key=value", actual=repr(word))
        values[key] = value
    return Fields(values)


def parse_batch_line(text: str) -> tuple[int, ReplyLine]:
    """Read the text of a data line of `batch`: its number, its outcome (whose `seq` is that number, too).

    Raises:
        ProtocolError: it is no such line.
    """
    match = _BATCH.fullmatch(text)
    if match is None:
        raise ProtocolError("batch line", repr(text[:200]), expected="a number with an outcome")
    return int(match["index"]), _outcome(int(match["index"]), match["status"], match["rest"] or "")


def parse_crash(lines: Sequence[str], *, complete: bool = True) -> CrashReport:
    """Put the lines of a report together, head first, without marks.

    A crashed guest may write anything. A detail that cannot be read makes the report incomplete; `lines`
    keeps it.

    Raises:
        ProtocolError: the head is none.
    """
    head = lines[0] if lines else ""
    if not Crash(head).is_head:
        raise ProtocolError("crash report", repr(head[:200]), expected="panic file=… or exception vector=…")
    messages = [line.removeprefix(" msg ") for line in lines if line.startswith(" msg ")]
    registers: dict[str, int] = {}
    backtrace: list[Vaddr] = []
    cpu: int | None = None
    overflow: Fields | None = None
    for line in lines[1:]:
        word, _, rest = line.removeprefix(" ").partition(" ")
        try:
            if word == "reg":
                fields = parse_fields(rest)
                registers.update({name: fields.int(name) for name in fields})
            elif word == "bt":
                backtrace.append(Vaddr(Fields({"bt": rest}).int("bt")))
            elif word == "stack":
                overflow = _overflow(rest)
            elif word == "cpu":
                cpu = Fields({"cpu": rest}).int("cpu")
        except ProtocolError:
            complete = False
    report = CrashReport(
        "panic" if head.startswith("panic ") else "exception",
        message="; ".join(messages),
        cpu=cpu,
        overflow=overflow,
        registers=registers,
        backtrace=tuple(backtrace),
        complete=complete,
        lines=tuple(lines),
    )
    if panic := _PANIC.fullmatch(head):
        at_line, at_column = int(panic["line"]), int(panic["column"])
        return replace(report, file=panic["file"], line=at_line, column=at_column)
    with contextlib.suppress(ProtocolError):  # its fields are damaged: the head is kept as text
        if exception := _EXCEPTION.fullmatch(head):
            fields = parse_fields(exception["fields"])
            fields.int("rip")
            return replace(report, fields=fields)
    return replace(report, message="; ".join([head, *messages]), complete=False)


def _overflow(rest: str) -> Fields:
    """Read which stack ran over; raises `ProtocolError` where that is not told."""
    fields = parse_fields(rest)
    for name in ("cpu", "guard"):
        fields.int(name)
    if "name" not in fields:
        raise ProtocolError("crash report", repr(rest[:200]), expected="name=", actual="none")
    return fields


def _crash_line(rest: str) -> Crash:
    line = Crash(rest)
    if line.is_head or line.is_end or rest.startswith(" "):
        return line
    raise ProtocolError("console line", repr("!" + rest[:200]), expected="a line of a crash report")


def _reply(rest: str) -> ReplyLine:
    match = _REPLY.fullmatch(rest)
    if match is None:
        raise ProtocolError("reply", repr("=" + rest[:200]), expected="=<number> ok, fail, err or panic")
    return _outcome(int(match["seq"]), match["status"], match["rest"] or "")


def _outcome(seq: int, status: str, rest: str) -> ReplyLine:
    if status == "ok":
        return ReplyLine(seq, "ok", fields=parse_fields(rest))
    if status == "panic":
        panic = _PANIC_REPLY.fullmatch(rest)
        if panic is None:
            raise ProtocolError("reply", repr(rest[:200]), expected="panic file=… line=… msg=…")
        file, message = _decoded(panic["file"]), _decoded(panic["message"])
        return ReplyLine(seq, "panic", text=message, file=file, line=int(panic["line"]))
    code, _, text = rest.partition(" ")
    if not code or "=" in code:
        raise ProtocolError("reply", repr(rest[:200]), expected=f"a word after {status}")
    if status == "err":
        return ReplyLine(seq, "err", code=code, text=text)
    return ReplyLine(seq, cast("Status", status), code=code, fields=parse_fields(text))


def _banner(text: str) -> Banner:
    fields = parse_fields(text.removeprefix("*frame-harness"))
    return Banner(fields.int("proto"), fields["build"], fields["nonce"], fields)


def _decoded(word: str) -> str:
    """Undo percent-encoding (RFC 3986, 2.1)."""
    return unquote_to_bytes(word).decode("utf-8", "replace")


def quote_line(raw: bytes) -> str:
    """Show a line so that nothing in it can act on a terminal, and what is long is cut."""
    if not _VISIBLE.fullmatch(raw):
        return quote_bytes(raw, _MOST_SHOWN)
    shown = raw[:_MOST_SHOWN].decode("ascii")
    return shown if len(raw) <= _MOST_SHOWN else f"{shown} ... ({len(raw)} bytes)"


def has_mark(shown: str) -> bool:
    """Whether a line that `quote_line` shows begins with a mark of the protocol, other than that of a log."""
    return shown.lstrip("'\"").startswith(("=", ":", "!", "*"))
