"""Writes what was taken of a guest into a failure's folder."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from frame_harness.archive import files
from frame_harness.archive.memory import save, save_life
from frame_harness.archive.records import BootRecord, GuestRecord, SentCommand
from frame_harness.archive.writing import add_image
from frame_harness.base.units import Pfn, pfn_to_paddr
from frame_harness.console.protocol import quote_line
from frame_harness.gathering.replay import PlayedAgain
from frame_harness.gathering.taken import Taken
from frame_harness.guest.backtrace import texts
from frame_harness.guest.booted import BootedGuest

CONSOLE: Final = "console.log"
SCRIPT: Final = "qemu.sh"
COMMANDS: Final = "commands.txt"
BEFORE, AFTER, LIFE = "before.npz", "after.npz", "life.npz"


def write_guest(
    archive: Path, folder: Path, under: str, taken: Taken, played: PlayedAgain | None = None
) -> GuestRecord:
    """Write a guest's texts and memory.

    Args:
        folder: of the failure.
        under: the guest's folder in it; empty for the failing one.
        played: what a fresh guest showed; None where none did.
    Raises:
        OSError: there is no room, or no leave.
    """
    place = folder / under
    place.mkdir(exist_ok=True)
    record = GuestRecord(
        argv=taken.argv,
        image_sha256=taken.image.sha256,
        options=_boot(taken.guest) if taken.guest is not None else None,
        was_put_back=taken.guest is not None and taken.guest.was_put_back,
        commands=tuple(
            SentCommand(line=one.line, reply=one.reply, at_s=max(0.0, one.at_s), took_s=max(0.0, one.took_s))
            for one in taken.sent
        ),
        commands_left_out=taken.left_out,
        commands_of_others=taken.of_others,
        registers=taken.registers,
        backtrace=texts(taken.backtrace),
        console_bytes=taken.console_bytes,
        events=tuple(map(str, taken.events)),
        frames=tuple(pfn_to_paddr(Pfn(pfn)) for pfn in taken.pfns.tolist()),
        console=_write(place / CONSOLE, "".join(_console(taken)), folder),
        script=_script(archive, place, folder, taken),
        commands_file=_write(place / COMMANDS, "".join(_commands(taken)), folder),
    )
    memory = _memory(place, folder, taken, played)
    end, words = taken.guest.end if taken.guest is not None and taken.guest.ended else (None, "")
    return msgspec.structs.replace(record, **memory, end=end, end_words=words, notes=tuple(taken.notes))


def _boot(guest: BootedGuest) -> BootRecord:
    options = guest.options
    return BootRecord(
        init=options.init, ram=guest.machine.ram, cpus=guest.machine.cpus, reserve=tuple(options.reserve),
        ramtop=options.ramtop, seed=options.seed, extra=tuple(options.extra),
    )  # fmt: skip


def _write(path: Path, text: str, folder: Path) -> str:
    path.write_text(text, encoding="utf-8", errors="replace")
    return str(path.relative_to(folder))


def _console(taken: Taken) -> Iterator[str]:
    for line in taken.console:
        yield f"{line.at_s:12.6f}  {quote_line(line.text)}\n"


def _commands(taken: Taken) -> Iterator[str]:
    """The commands as the console takes them, each with its reply behind it."""
    if taken.guest is not None:
        yield f"# boot: {taken.guest.options.shown}\n"
    if taken.left_out:
        yield f"# {taken.left_out} older commands are not kept\n"
    for one in taken.sent:
        yield f"{one.line}\n# → {one.reply or 'no reply'}\n"


def _script(archive: Path, place: Path, folder: Path, taken: Taken) -> str:
    add_image(archive, taken.image.elf, taken.image.sha256)
    depth = len(place.relative_to(archive).parts)
    kernel = "/".join([*[".."] * depth, files.IMAGES, f"{taken.image.sha256}.elf"])
    path = place / SCRIPT
    name = _write(path, script(taken.argv, kernel, COMMANDS), folder)
    path.chmod(0o755)
    return name


def _memory(place: Path, folder: Path, taken: Taken, played: PlayedAgain | None) -> dict[str, str]:
    """Write what there is; return the names of the files by field of the record."""
    written = {}
    if taken.state is not None:
        save(place / AFTER, taken.state, taken.payload)
        written["after"] = str((place / AFTER).relative_to(folder))
    if played is not None:
        save(place / BEFORE, played.before, played.payload)
        save_life(place / LIFE, played.life)
        written |= {"before": str((place / BEFORE).relative_to(folder))}
        written |= {"life": str((place / LIFE).relative_to(folder)), "changed_by": played.changed_by}
    return written


# The harness's ends of these are gone; the guest's memory is QEMU's own then.
_WITH_VALUE: Final = ("-chardev", "-serial", "-mon", "-object", "-gdb", "-d", "-D", "-dfilter")
_PAUSED: Final = "-S"
_BACKEND: Final = re.compile(r",memory-backend=[^,]*")
_HEAD: Final = """#!/bin/sh
# Starts this guest again. Its console is here: type `1 help`, then `2 alloc new` and so on, each line with
# the next number; Ctrl-C ends it. Its memory holds zeroes at first, not what it held when the check failed.
# To give it all commands that the check gave it (the serial port loses what comes before the kernel has it):
#   (echo; grep -v '^#' {commands} | awk '{{ print NR " " $0 }}') | sh qemu.sh
cd "$(dirname "$0")" || exit
"""


def script(argv: Sequence[str], kernel: str, commands: str = "commands.txt") -> str:
    """A shell script that starts a guest with its console on standard input and output.

    Args:
        argv: QEMU's, as the harness started it.
        kernel: the ELF, relative to the script's folder.
        commands: name of the file of its commands, in the same folder.
    """
    words = [*_kept(argv, kernel), "-serial", "stdio", "-monitor", "none"]
    return _HEAD.format(commands=commands) + "exec " + " \\\n  ".join(_rows(words)) + "\n"


def _kept(argv: Sequence[str], kernel: str) -> Iterator[str]:
    """The words of the command without those that name what was handed down to QEMU."""
    words = iter(argv)
    for word in words:
        if word == _PAUSED:
            continue
        if word in _WITH_VALUE:
            next(words, None)
        elif word == "-kernel":
            next(words, None)
            yield from (word, kernel)
        elif word == "-machine":
            yield from (word, _BACKEND.sub("", next(words, "")))
        else:
            yield word


def _rows(words: Sequence[str]) -> Iterator[str]:
    """An option with its value on a line."""
    row: list[str] = []
    for word in words:
        if word.startswith("-") and row:
            yield shlex.join(row)
            row = []
        row.append(word)
    yield shlex.join(row)
