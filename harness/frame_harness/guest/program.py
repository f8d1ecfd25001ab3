"""Runs commands that lie in guest RAM: one round trip for all of them, the replies in the console's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from frame_harness.base.errors import ProtocolError, UsageError
from frame_harness.base.units import Pfn
from frame_harness.console.protocol import MAX_REQUEST_BYTES, Data, ReplyLine, parse_line, quote_line
from frame_harness.guest.absence import require_names_of
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.errors import GuestFailure
from frame_harness.guest.reply import Reply
from frame_harness.image.errors import ImageError
from frame_harness.image.image import Image

PAGE_LOOK_BYTES: Final = 16
MOST_LOOKS_BYTES: Final = 32 << 10
"""Of one command; the guest keeps so much room."""
_MOST_KEPT: Final = 4096
"""Replies whose meaning is kept: most of a program's are equal."""


class Ask(NamedTuple):
    """A command with the places to look at once it has run."""

    line: str
    slots: Sequence[Pfn] = ()
    """Pfns of slots whose bytes are kept."""
    pages: Sequence[Pfn] = ()
    """Pfns of frames of the buddy's, of which the first word is kept and how many words behind it, each as
    u64, equal the one before.
    """
    reports: bool = False
    """It changes nothing, so that it can be sent again, to the console, where its reply is longer than the
    room in RAM.
    """

    @property
    def text(self) -> str:
        """The command as the guest reads it."""
        if not self.slots and not self.pages:
            return f"{self.line}\n"
        return f"{self.line}|{' '.join(map(str, self.slots))}|{' '.join(map(str, self.pages))}\n"


@dataclass(frozen=True)
class Ran:
    """What a program came to."""

    replies: list[Reply]
    """One for each command; panics are without a backtrace."""
    seen: bytes
    """The bytes of all looks, in order: of each command its slots, then its pages."""


def runs_programs(image: Image) -> bool:
    """Whether a kernel has room for programs; one around another adapter than the built-in one has none."""
    try:
        image.symbol("PROGRAM")
    except ImageError:
        return False
    return True


class Program:
    """The room for programs in a guest's RAM."""

    def __init__(self, kernel: BootedGuest) -> None:
        self.kernel = kernel
        vaddr, _ = kernel.image.symbol("PROGRAM")
        dtype = kernel.image.dtype("program::Program")
        self._bytes = kernel.bytes_at(vaddr, dtype.itemsize)
        self._slot_bytes = kernel.image.dtype(kernel.image.slot_type).itemsize
        self._before = 0
        self._record: Any = self._bytes.view(dtype)[0]
        self._given, self._said, self._seen = (self._record[name] for name in ("given", "said", "seen"))

    @property
    def begun(self) -> int:
        """Commands that the guest began, of those that `run` was given last."""
        return self._before + int(self._record["begun"])

    def run(self, asks: Sequence[Ask]) -> Ran:
        """Carry all commands out, whatever becomes of each.

        Raises:
            ProtocolError: the guest tells no outcome of a command.
            GuestCrashed, GuestTimeout: there is no guest any more; its last command is the one that ran.
            NotInThisVersion: a command calls what the frame module does not have; nothing was run.
        """
        self.require(asks)
        replies: list[Reply] = []
        seen: list[bytes] = []
        while len(replies) < len(asks):
            self._before = len(replies)
            replies += self._run_some(asks[self._before :])
            if len(replies) == self._before:
                raise ProtocolError("program", repr(asks[len(replies)].line[:80]), expected="an outcome")
            seen.append(self._seen[: int(self._record["n_seen"])].tobytes())
        return Ran(replies, b"".join(seen))

    def require(self, asks: Sequence[Ask]) -> None:
        """Refuse, before any is run, what the frame module does not have, or there is no room for."""
        # But for a program of one of several CPUs the name alone says what a command calls.
        lines = {ask.line if ask.line.startswith("smp.") else ask.line.partition(" ")[0] for ask in asks}
        for line in lines:
            require_names_of(self.kernel.image, line)
        self.kernel.called |= self.kernel.image.subject.contract.functions.of_lines(lines)
        for ask in asks:
            self._require_room(ask)

    def _require_room(self, ask: Ask) -> None:
        """Refuse what the console would refuse, and looks that there is no room for."""
        line, looks = ask.line, len(ask.slots) * self._slot_bytes + len(ask.pages) * PAGE_LOOK_BYTES
        if not (line.isascii() and line.isprintable() and len(line) < MAX_REQUEST_BYTES) or "|" in line:
            wanted = f"visible ASCII without |, less than {MAX_REQUEST_BYTES} bytes"
            raise UsageError("program", repr(line[:80]), expected=wanted)
        if looks > MOST_LOOKS_BYTES:
            raise UsageError("program", repr(line[:80]), expected="looks that there is room for")

    def _run_some(self, asks: Sequence[Ask]) -> list[Reply]:
        """Run as many commands as there is room for."""
        given = bytearray()
        for ask in asks:
            line = ask.text.encode("ascii")
            if len(given) + len(line) > len(self._given):
                break
            given += line
        self._given[: len(given)] = given
        self._record["begun"] = 0
        try:
            done = self._carry_out(len(given))
        except GuestFailure:
            begun = int(self._record["begun"])
            self.kernel.log.broke_off([ask.line for ask in asks[:begun]])
            self.tell([Reply(ask.line, ReplyLine(0, "ok")) for ask in asks], begun - 1)
            raise
        said = self._said[: int(self._record["n_said"])].tobytes()
        lines = [ask.line for ask in asks[:done]]
        if len(said) < len(self._said) or not asks[done - 1].reports:
            replies = list(_replies(said, lines))
            self.kernel.log.was_several(replies)
            return replies
        # The room is full: the last reply is cut off, and the guest began no command behind it.
        replies = list(_replies(_whole(said, done - 1), lines[:-1]))
        self.kernel.log.was_several(replies)
        return [*replies, self.kernel.request(lines[-1])]

    def _carry_out(self, n_bytes: int) -> int:
        """Let the guest run what was written; returns how many commands it ran."""
        done = self.kernel.call("run", n_bytes)["done"]
        self.kernel.commands.pop()  # it says nothing; see `tell`
        return int(done)

    def tell(self, replies: Sequence[Reply], index: int) -> None:
        """Show a command, with those just before it, as the last commands of the guest."""
        commands = self.kernel.commands
        commands.clear()
        commands.extend(reply.request for reply in replies[max(0, index - 3) : index + 1])


def _whole(said: bytes, count: int) -> bytes:
    """The first replies, with their data, of what breaks off somewhere behind them."""
    if count == 0:
        return b""
    mark = b"=%d " % (count - 1)
    at = 0 if said.startswith(mark) else said.index(b"\n" + mark) + 1
    return said[: said.index(b"\n", at) + 1]


def _replies(said: bytes, requests: Sequence[str]) -> Iterator[Reply]:
    data: list[str] = []
    index = 0
    for raw in said.removesuffix(b"\n").split(b"\n") if said else ():
        mark, _, rest = raw.partition(b" ")
        if mark == b"=%d" % index and index < len(requests):
            yield Reply(requests[index], _outcome(rest), tuple(data))
            data.clear()
            index += 1
            continue
        line = parse_line(raw)
        if not isinstance(line, Data):
            raise ProtocolError(
                "program", f"answer {index}", expected="data or its outcome", actual=quote_line(raw)[:80]
            )
        data.append(line.text)
    if index < len(requests) or data:
        raise ProtocolError("program", expected=f"{len(requests)} outcomes", actual=index)


@lru_cache(_MOST_KEPT)
def _outcome(text: bytes) -> ReplyLine:
    """What a reply line says behind its number, read as the console's are."""
    line = parse_line(b"=0 " + text)
    if not isinstance(line, ReplyLine):
        raise ProtocolError("program", expected="an outcome", actual=quote_line(text)[:80])
    return line
