"""A recording of one guest: QEMU's log of all that came from outside, with what replay needs.

QEMU's record/replay (docs/system/replay.rst, 7.2): one CPU, counted instructions. RAM is garbage of a
known seed before power-on, so that replay begins with the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from frame_harness.base import resources
from frame_harness.base.disk import Unwritable, write_whole
from frame_harness.base.errors import HarnessError
from frame_harness.base.record import Record
from frame_harness.base.units import MIB, Paddr, Vaddr
from frame_harness.contract.layout import RESERVED
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.image.cache_limit import hold_folder
from frame_harness.image.image import Image
from frame_harness.image.subject import Subject
from frame_harness.judge.evidence import CheckInRun, EvidenceError, decode, encode
from frame_harness.machine.argv import DEBUGGER_ID
from frame_harness.machine.definition import Machine
from frame_harness.machine.ram import GuestRam

LOG, ELF, NOTE = "replay.bin", "kernel.elf", "recording.json"
_FIRMWARE_S: Final = 1 * MIB
"""What lies below belongs to the firmware, which leaves other bytes there in replay."""
# A descriptor's number, the paths of the log and of the kernel: they differ from start to start.
_VARIES: Final = re.compile(r"(?<=fd[=/])\d+|rr=\w+,rrfile=.*")
_OF_A_DEBUGGER: Final = (f"socket,id={DEBUGGER_ID},", f"chardev:{DEBUGGER_ID}")
# 128 ns an instruction. The serial line is paced in the guest's time: a smaller shift makes it slower.
_ICOUNT: Final = "shift=7"


class RecordingNote(Record, frozen=True, kw_only=True):
    """What replay needs to know, beside the log and the kernel.

    Attributes:
        argv: how QEMU was started, but for what differs each time.
        seed: of the garbage in RAM; None: it was zero.
        commands: that the guest was asked, in order.
        said: sha256 of all that it printed.
        memory: sha256 of RAM above the firmware's at the end.
        fields: offset and size of each field of a slot.
        frame: physical address that the finding is about.
        cpu_s: CPU time that QEMU used.
    """

    check: CheckInRun
    subject: str
    finding: str
    frame: Paddr | None
    log_sha256: str
    elf_sha256: str
    qemu_version: str
    argv: tuple[str, ...]
    machine: dict[str, Any]
    append: str
    seed: int | None
    commands: tuple[str, ...]
    said: str
    memory: str
    hhdm: Vaddr
    meta_paddr: Paddr
    n_frames: int
    slot_bytes: int
    fields: dict[str, tuple[int, int]]
    cpu_s: float


class RecordingError(HarnessError):
    """A recording that cannot be replayed."""


def icount(mode: str, log: Path) -> tuple[str, str]:
    """QEMU's arguments that make it record, or replay."""
    return "-icount", f"{_ICOUNT},rr={mode},rrfile={str(log).replace(',', ',,')}"


def folder_of(subject: Subject, check: CheckInRun) -> Path:
    """Where the recording of a check is kept."""
    key = f"{subject.path} {encode(check)}"
    name = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:24]
    return resources.build_dir() / "recordings" / name


def shape_of(argv: Sequence[str], elf: Path) -> tuple[str, ...]:
    """A command of QEMU without what differs from start to start."""
    words: list[str] = []
    for word in argv:
        if word.startswith(_OF_A_DEBUGGER):  # one looks at replays alone
            words.pop()
        elif words[-1:] == ["-append"]:  # it is noted by itself
            continue
        else:
            words.append("ELF" if word == str(elf) else _VARIES.sub("…", word))
    return tuple(words)


def memory_of(ram: GuestRam) -> str:
    """sha256 of a guest's RAM above the firmware's."""
    return hashlib.sha256(ram.whole[_FIRMWARE_S:].data).hexdigest()


def slot_fields(image: Image) -> dict[str, tuple[int, int]]:
    """Offset and size of each field of a slot."""
    dtype = image.dtype(image.slot_type)
    return {
        name: (offset, kind.itemsize)
        for name, (kind, offset, *_) in (dtype.fields or {}).items()
        if RESERVED not in name
    }


def plain_machine(machine: Machine) -> dict[str, Any]:
    """A machine as JSON has it."""
    return dict(msgspec.to_builtins(machine))


def keep(folder: Path, note: RecordingNote, log: Path, elf: Path) -> None:
    """Write a recording where it stays, at least as long as this process lives.

    Raises:
        Unwritable: there is no room, or no leave.
    """
    hold_folder(folder)
    write_whole(folder / LOG, log.read_bytes())
    write_whole(folder / ELF, elf.read_bytes())
    write_whole(folder / NOTE, encode(note).encode())


def load(folder: Path) -> RecordingNote:
    """Read a recording's note, and prove that log and kernel are those that it was made with.

    No process removes it as long as this one lives, which is about to replay it, unless this one may not
    write where that is noted.

    Raises:
        RecordingError: there is none, or it is damaged.
    """
    try:
        if folder.is_dir():  # of one that is not there the file of the lock would stay
            with contextlib.suppress(Unwritable):  # somebody else's can be read all the same
                hold_folder(folder)
        note = decode((folder / NOTE).read_bytes(), RecordingNote)
        for name, expected in ((LOG, note.log_sha256), (ELF, note.elf_sha256)):
            actual = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if actual != expected:
                raise refused(folder, f"{name} is not what was recorded", expected[:16], actual[:16])
    except FileNotFoundError as error:
        here = Path(str(error.filename)).name if folder.is_dir() else "such folder"
        raise refused(folder, f"no recording: there is no {here}") from error
    except OSError as error:
        raise refused(folder, f"cannot be read: {error.strerror}") from error
    except EvidenceError as error:
        raise refused(folder, f"{NOTE} is damaged: {error.detail}") from error
    return note


def refused(
    folder: Path, why: str, expected: str = "", actual: str = "", evidence: str = "", next_step: str = ""
) -> RecordingError:
    """Say that a recording cannot be replayed, and what to do."""
    compared = {"expected": f"sha256 {expected}…", "actual": f"{actual}…"} if expected else {}
    return RecordingError(
        "recording", str(folder), detail=why, evidence=evidence,
        next_step=next_step or "record again: `debug CHECK --record`", **compared,
    )  # fmt: skip


def diverged(folder: Path, why: str, evidence: str = "") -> RecordingError:
    """Say that a replay was not the run that was recorded."""
    todo = "a check that writes to guest RAM itself, as histories do, cannot be replayed: use `debug`"
    return refused(folder, why, evidence=evidence, next_step=todo)


def note_of(
    kernel: Kernel,
    check: CheckInRun,
    *,
    append: str,
    log: Path,
    commands: Sequence[str],
    machine: Machine,
    version: str,
) -> RecordingNote:
    """Describe a guest whose QEMU has ended and whose log is whole."""
    image, witness = kernel.image, kernel.witness
    return RecordingNote(
        check=check,
        subject=str(image.subject.path),
        finding="",
        frame=None,
        log_sha256=hashlib.sha256(log.read_bytes()).hexdigest(),
        elf_sha256=image.sha256,
        qemu_version=version,
        argv=shape_of(kernel.guest.argv, image.elf),
        machine=plain_machine(machine),
        append=append,
        seed=kernel.ram.seed,
        commands=tuple(commands),
        said=hashlib.sha256(kernel.channel.transcript.raw()).hexdigest(),
        memory=memory_of(kernel.ram),
        hhdm=kernel.hhdm,
        meta_paddr=witness.meta_paddr,
        n_frames=witness.n_frames,
        slot_bytes=image.dtype(image.slot_type).itemsize,
        fields=slot_fields(image),
        cpu_s=kernel.guest.cpu_time_s(),
    )
