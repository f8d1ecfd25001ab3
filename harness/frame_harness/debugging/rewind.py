"""Finds in a recording who wrote a field of a slot last, by replaying it twice."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from frame_harness.base.errors import UsageError
from frame_harness.base.units import Paddr, Vaddr, paddr_to_pfn, paddr_to_vaddr
from frame_harness.debugging.recording import RecordingNote, refused
from frame_harness.debugging.replay import Replay, Write
from frame_harness.guest.ending import shortened
from frame_harness.image.image import Image


@dataclass(frozen=True)
class LastWrite:
    """Who wrote a field last, in words that stand alone.

    Attributes:
        write: None where nobody wrote it.
        count: of all writes.
        during: the command, or that the guest booted.
        by: the place of the instruction: the subject's own, where the code was inlined from a library.
        inlined: the function of the instruction, then each that it was inlined into, with their places.
        called_from: places of the calls that led there, innermost first.
    """

    frame: Paddr
    field: str
    vaddr: Vaddr
    write: Write | None
    count: int = 0
    during: str = ""
    by: str = ""
    inlined: tuple[str, ...] = ()
    called_from: tuple[str, ...] = ()


def last_write(folder: Path, note: RecordingNote, image: Image, field: str, frame: Paddr | None) -> LastWrite:
    """Replay twice; the second time has to show the same.

    Args:
        image: the kernel that was recorded.
        frame: physical address, instead of the finding's.
    Raises:
        UsageError: no such field, or no frame to look at.
        RecordingError: it cannot be replayed, or shows something else the second time.
    """
    paddr, n_bytes, about = _place(note, field, frame)
    first, second = (list(Replay(folder, note).writes(paddr, n_bytes)) for _ in range(2))
    if first != second:
        raise refused(folder, "its second replay shows other writes than the first one")
    vaddr = paddr_to_vaddr(paddr, note.hhdm)
    if not first:
        return LastWrite(about, field, vaddr, None)
    last = first[-1]
    callers = tuple(shortened(str(image.symbolize(caller)), image) for caller in last.callers)
    return LastWrite(
        about, field, vaddr, last, len(first), _during(note, last), str(image.symbolize(last.vaddr)),
        _chain(image, last.vaddr), callers,
    )  # fmt: skip


def require_field(field: str, fields: Collection[str]) -> None:
    """Refuse a name that is no field of a slot.

    Raises:
        UsageError: names the fields.
    """
    if field not in fields:
        raise UsageError(
            "field", field, expected=f"one of {', '.join(fields)}", actual="another name",
            next_step="name one of these",
        )  # fmt: skip


def _place(note: RecordingNote, field: str, frame: Paddr | None) -> tuple[Paddr, int, Paddr]:
    """Address and size of the field, and the frame whose slot it is in."""
    require_field(field, note.fields)
    about = note.frame if frame is None else frame
    if about is None:
        raise UsageError("frame", detail="the finding names none", next_step="add --frame PADDR")
    pfn = paddr_to_pfn(about)
    if not note.meta_paddr or not 0 <= pfn < note.n_frames:
        expected = f"one of {note.n_frames} frames with a slot"
        raise UsageError("frame", f"{about:#x}", expected=expected, actual="none of them")
    offset, n_bytes = note.fields[field]
    return Paddr(note.meta_paddr + pfn * note.slot_bytes + offset), n_bytes, about


def _during(note: RecordingNote, write: Write) -> str:
    if write.booting:
        return "the guest booted"
    if write.command >= len(note.commands):
        return "behind its last command"
    return f"command {write.command + 1} of {len(note.commands)}: {note.commands[write.command]}"


def _chain(image: Image, vaddr: Vaddr) -> tuple[str, ...]:
    return tuple(
        shortened(f"{place.function} ({place.file}:{place.line})", image) for place in image.places(vaddr)
    )
