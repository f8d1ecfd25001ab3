"""What the JSON files of an archive hold."""

from __future__ import annotations

from typing import Final

from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.record import Address, Count, Record, Seconds
from frame_harness.judge.baseline import EMPTY, Baseline
from frame_harness.judge.evidence import CheckInRun, Evidence, RunKey

SCHEMA: Final = 2
"""Raised when the meaning of a field changes."""


class Begun(Record, frozen=True, kw_only=True):
    """`begun.json`: a run writes into this folder, or ended before its evidence was complete.

    Attributes:
        command: the run's, as it was called.
        at: when it began, as `YYYY-MM-DDTHH:MM:SS` with the offset of the time zone.
    """

    schema: int = SCHEMA
    command: tuple[str, ...]
    at: str


class SourceCopy(Record, frozen=True, kw_only=True):
    """One file of the subject, as it was judged.

    Attributes:
        path: where it lay, as findings name it.
        file: its copy, relative to the archive.
    """

    path: str
    file: str
    sha256: str


class Header(Record, frozen=True, kw_only=True):
    """`archive.json`: all that a verdict is made of, but for the contract itself.

    Attributes:
        contract: name of the contract that the subject is judged by.
        version: of the package whose contract that is.
        required: ids of the clauses that must have been looked at.
        sources: of the subject.
        notes: what could not be kept, each in a sentence; it says nothing about the subject.
    """

    schema: int = SCHEMA
    command: tuple[str, ...]
    at: str
    contract: str
    version: str
    required: tuple[str, ...] = ()
    baseline: Baseline = EMPTY
    evidence: Evidence
    sources: tuple[SourceCopy, ...] = ()
    notes: tuple[str, ...] = ()


class SentCommand(Record, frozen=True, kw_only=True):
    """A command that a guest was sent.

    Attributes:
        reply: as a person reads it; empty where none came.
        at_s: when it was sent, in seconds since the guest's console was opened.
        took_s: until the reply; of commands that ran together, all of them.
    """

    line: str
    reply: str = ""
    at_s: Seconds = 0.0
    took_s: Seconds = 0.0


class BootRecord(Record, frozen=True, kw_only=True):
    """The plain options of a boot; a guest with the same ones begins as this one did.

    Attributes:
        ram: bytes.
        reserve: base and length in bytes of each island cut out of the memory map.
        ramtop: address at which RAM ends, if lower than the machine's.
        seed: of the garbage that RAM holds; None for zeroes.
        extra: more words of the kernel's command line.
    """

    init: str
    ram: Count
    cpus: Count
    reserve: tuple[tuple[Count, Count], ...] = ()
    ramtop: Count | None = None
    seed: int | None = None
    extra: tuple[str, ...] = ()


class GuestRecord(Record, frozen=True, kw_only=True):
    """One guest of a failing check.

    File names are relative to the failure's folder; an empty one says that the file is not there, and
    `notes` say why.

    Attributes:
        argv: QEMU's, as it was started.
        image_sha256: of the ELF in `images/`; empty where it is not known.
        options: of the boot; None of one that never came to its prompt.
        end, end_words: how it ended; None where it was not known when this was written.
        commands: all that it was sent, oldest first; of very many the last ones.
        commands_left_out: how many older ones are missing in `commands`.
        commands_of_others: how many of `commands`, the first ones, other checks sent to the same guest.
        registers: lines about every CPU.
        backtrace: innermost first, where it crashed or was stopped.
        console_bytes: of the console, when this was written: a position in its transcript.
        events: that QEMU's monitor had reported by then, oldest first, each in a line.
        frames: physical addresses of the frames concerned, that of the finding first.
        console, script, commands_file: transcript, shell script that starts it again, its commands.
        before: memory before the last command that changed a slot, or that the guest did not survive.
        changed_by: that command; empty where none did: then `before` is memory after boot.
        after: memory when the check failed; see `archive.memory`.
        life: slots of the frames concerned after each command; see `archive.memory`.
        notes: what could not be kept, and why.
    """

    argv: tuple[str, ...]
    image_sha256: str = ""
    options: BootRecord | None = None
    was_put_back: bool = False
    end: GuestEnd | None = None
    end_words: str = ""
    commands: tuple[SentCommand, ...] = ()
    commands_left_out: Count = 0
    commands_of_others: Count = 0
    registers: tuple[str, ...] = ()
    backtrace: tuple[str, ...] = ()
    console_bytes: Count = 0
    events: tuple[str, ...] = ()
    frames: tuple[Address, ...] = ()
    console: str = ""
    script: str = ""
    commands_file: str = ""
    before: str = ""
    changed_by: str = ""
    after: str = ""
    life: str = ""
    notes: tuple[str, ...] = ()


class FailureRecord(Record, frozen=True, kw_only=True):
    """`failure.json`: a check that did not pass, with its guests; the last one is the one that failed.

    Attributes:
        also: names of results that the same check brought about other clauses.
        case: as in the check's result.
    """

    schema: int = SCHEMA
    run: RunKey
    check: str
    case: str = ""
    also: tuple[str, ...] = ()
    guests: tuple[GuestRecord, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[CheckInRun, ...]:
        """The results that it belongs to."""
        own = CheckInRun(run=self.run, check=self.check, case=self.case)
        return (own, *(CheckInRun(run=self.run, check=name) for name in self.also))
