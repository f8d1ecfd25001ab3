"""Says who wrote a field of a slot last, from a recording of a check that fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from frame_harness.base.errors import UsageError
from frame_harness.base.text import plural
from frame_harness.base.units import PAGE_SIZE, Paddr
from frame_harness.cli.debug import DebugRequest, found
from frame_harness.debugging.recorder import record
from frame_harness.debugging.recording import ELF, NOTE, RecordingNote, folder_of, load, slot_fields
from frame_harness.debugging.rewind import LastWrite, last_write, require_field
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.judge.exit_codes import ExitCode


def rewind(request: DebugRequest, field: str, frame: str, folder: Path | None) -> ExitCode:
    """Find the last write, in a recording that is named, or in that of the check, made first where none is.

    Returns PASS once it was found, or nobody wrote; NO_TESTS when the check does not fail.
    Raises:
        HarnessError: there is no such check, field or frame; or it cannot be recorded or replayed.
    """
    paddr = _address(frame)
    if folder is None:
        made = _recorded(request, field)
        if made is None:
            return ExitCode.NO_TESTS
        folder, note = made
    else:
        note = load(folder)
    image = Image(folder / ELF, note.elf_sha256, note.check.run.profile, frame_module(note.subject))
    _show(last_write(folder, note, image, field, paddr))
    return ExitCode.PASS


def _address(text: str) -> Paddr | None:
    try:
        paddr = Paddr(int(text, 0)) if text else None
    except ValueError:
        actual = "no number"
    else:
        if paddr is None or (paddr >= 0 and paddr % PAGE_SIZE == 0):
            return paddr
        actual = f"no multiple of {PAGE_SIZE:#x}"
    raise UsageError(
        "--frame", text, expected="the address of a frame, such as 0x1060000", actual=actual,
        next_step="leave it out for the frame of the finding",
    )  # fmt: skip


def _recorded(request: DebugRequest, field: str) -> tuple[Path, RecordingNote] | None:
    """The recording of the first check that fails, made now unless that of this very failure is there."""
    asked = request.of_a_session()
    require_field(field, slot_fields(build(asked.subject, request.profile)))  # before any check is made
    failure = found(request, asked)
    if isinstance(failure, ExitCode):
        return None
    folder = folder_of(asked.subject, failure.check)
    if (folder / NOTE).exists():
        note, at = load(folder), failure.at
        asked_of_it = failure.commands[at.guest][: at.command + 1]  # a check may ask otherwise by now
        if (note.elf_sha256, note.commands) == (failure.image.sha256, asked_of_it):
            return folder, note
    return record(asked, failure)


def _show(last: LastWrite) -> None:
    slot = f"{last.field} of frame {last.frame:#x}, at {last.vaddr:#x}"
    if last.write is None:
        click.echo(f"nobody wrote {slot}")
        return
    write = last.write
    click.echo(f"{slot}: written {plural(last.count, 'time')}, last")
    click.echo(f"  value      {write.before:#x} → {write.after:#x}")
    click.echo(f"  during     {last.during}")
    click.echo(f"  when       instruction {write.instruction:,} since power-on".replace(",", " "))
    click.echo(f"  by         {last.by}")
    _list("inlined", last.inlined)
    _list("called by", last.called_from)


def _list(label: str, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        click.echo(f"  {'' if number else label:9}  {line}")
