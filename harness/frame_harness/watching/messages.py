"""What a round tells the process that started it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from frame_harness.base.record import Record, Seconds
from frame_harness.judge.baseline import Baseline
from frame_harness.judge.evidence import CheckResult, Evidence, RunKey, encode
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.judge.verdict import Verdict


class Message(Record, frozen=True, kw_only=True, tag=True):
    """Something that a round says."""


class Doing(Message, frozen=True, kw_only=True):
    """Something slow that is no check."""

    words: str


class Noted(Message, frozen=True, kw_only=True):
    """A line for the person who watches."""

    words: str


class BuiltImage(Message, frozen=True, kw_only=True):
    """An image by its file, of which the next round's differs or not."""

    elf: str
    sha256: str
    profile: str


class Built(Message, frozen=True, kw_only=True):
    """The subject compiles.

    `sources` are files of the user's that were compiled, too. `changed` are functions whose machine code is
    another than in the round before; None where that is not known. `first` is how many checks come first.
    """

    seconds: Seconds
    images: tuple[BuiltImage, ...]
    sources: tuple[str, ...]
    changed: tuple[str, ...] | None
    first: int


class Began(Message, frozen=True, kw_only=True):
    """A run has this many checks."""

    run: RunKey
    total: int


class CheckCame(Message, frozen=True, kw_only=True):
    """A check came to its end."""

    result: CheckResult


class Looked(Message, frozen=True, kw_only=True):
    """What the checks that come first saw: a part, of which a verdict would say too much."""

    evidence: Evidence
    verdict: Verdict


class RoundJudged(Message, frozen=True, kw_only=True):
    """A round is over; the evidence is that of all its checks."""

    evidence: Evidence
    verdict: Verdict
    known: Baseline


class Refused(Message, frozen=True, kw_only=True):
    """It makes no sense, or went wrong."""

    status: ExitCode
    words: str


WatchMessage = Doing | Noted | Built | Began | CheckCame | Looked | RoundJudged | Refused
Tell = Callable[[WatchMessage], None]
"""Says something to the process that started the round."""


def written(message: WatchMessage) -> bytes:
    """The message as one JSON text in UTF-8, which `read` reads."""
    return encode(message).encode()


def read(data: bytes) -> WatchMessage:
    """Read what `written` wrote; raises `msgspec.DecodeError` for anything else."""
    message: WatchMessage = msgspec.json.decode(data, type=WatchMessage)
    return message
