"""An entry of an archive, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.text import Text

from frame_harness.archive.folder import Archive, FailureFolder
from frame_harness.archive.memory import Life
from frame_harness.archive.records import GuestRecord
from frame_harness.base.text import plural, printable
from frame_harness.base.units import Pfn, paddr_to_pfn, pfn_to_paddr
from frame_harness.cli.judge import contract_of
from frame_harness.frame_metadata.memory_state import SLOT_FIELDS
from frame_harness.judge.evidence import CheckResult
from frame_harness.judge.findings import Finding
from frame_harness.publishing.run_archive import called, shown
from frame_harness.report.blocks import LABEL, broken_off_block, clause_line, finding_block, verbatim
from frame_harness.report.context import FindingContext
from frame_harness.report.text import short_check

MOST_COMMANDS: Final = 200
MOST_LINES: Final = 400
MOST_FRAMES: Final = 8
_WIDE: Final = ("XMM", "FPR", "FCW", "YMM")
"""What lines about registers of the floating-point unit begin with; no kernel of this kind uses it."""
_TIMES: Final = "{:>11.6f} s  "


class ShownText(Protocol):
    """What is shown of an entry."""

    @property
    def result(self) -> CheckResult: ...

    @property
    def finding(self) -> Finding | None: ...

    @property
    def failure(self) -> FailureFolder | None: ...


def entry_lines(entries: Sequence[ShownText]) -> RenderableType:
    """One line for each, with its number."""
    return Group(*(_line(number, entry) for number, entry in enumerate(entries, start=1)))


def _line(number: int, entry: ShownText) -> RenderableType:
    finding, result = entry.finding, entry.result
    left = "" if entry.failure is None else f"  {_left(entry.failure)}"
    if finding is None:
        words = Text.assemble(
            (f"{result.outcome.upper()}  ", "bold red"), printable(short_check(result.check))
        )
        return clause_line(Text(str(number)), words, f"{result.run}{left}")
    name = (f"{finding.clause:<9} ", "bold yellow" if finding.known else "bold red")
    after = f" (explained by {finding.explained_by})" if finding.explained_by else ""
    return clause_line(Text(str(number)), Text.assemble(name, finding.title, after), f"{finding.where}{left}")


def _left(failure: FailureFolder) -> str:
    """What there is of a failure, in words."""
    guest = failure.guests[-1] if failure.guests else None
    kept = {
        "commands": bool(guest and guest.commands), "console": bool(guest and guest.console),
        "memory": bool(guest and guest.after), "life": bool(guest and guest.life),
    }  # fmt: skip
    return ", ".join(name for name, there in kept.items() if there)


def entry_parts(entry: ShownText, archive: Archive) -> Iterator[RenderableType]:
    """Everything that is kept of an entry, in parts."""
    context = FindingContext(archive.evidence.subject, contract_of(archive).slot, archive.copies)
    if entry.finding:
        yield finding_block(entry.finding, context=context)
    else:
        yield broken_off_block(entry.result, context=context)
    failure = entry.failure
    if failure is None:
        yield Text("  no guest of it was at hand: nothing more is kept", style=LABEL)
        return
    yield from _where(failure, archive, of_another=entry.result.key not in failure.record.keys)
    for guest in failure.guests[-1:]:
        yield _section("commands", _commands(guest))
        if guest.backtrace:
            yield _section("backtrace", guest.backtrace)
        yield _section("registers", [line for line in guest.registers if not line.startswith(_WIDE)])
        if guest.events:
            yield _section("QEMU", guest.events[-MOST_LINES:])
        title = f"console, up to byte {guest.console_bytes}" if guest.console_bytes else "console"
        yield _section(title, failure.console.splitlines()[-MOST_LINES:])
    yield from _memory(failure)
    if failure.notes:
        yield _section("not kept", failure.notes)


def _where(failure: FailureFolder, archive: Archive, *, of_another: bool) -> Iterator[RenderableType]:
    guest = failure.guests[-1] if failure.guests else None
    lines = [f"check   {failure.record.check} on {failure.record.run}", f"folder  {called(failure.folder)}"]
    if of_another:
        lines.insert(1, "        another one that shows it: it left more than the one above")
    if guest is not None and guest.script:
        lines.append(f"again   sh {shown(failure.folder / guest.script)}")
    if guest is not None and guest.end_words:
        lines.append(f"end     {guest.end_words}")
    if len(failure.guests) > 1:
        lines.append(f"guests  {len(failure.guests)}, of which the last one is shown")
    if failure.result is not None and (copy := archive.source(failure.result.at.rpartition(":")[0])):
        lines.append(f"source  {called(copy)}")
    yield _section("kept", lines)


def _section(title: str, lines: Iterable[str]) -> RenderableType:
    return Group(Text(title, style="bold"), *(verbatim(f"  {line}") for line in lines))


def _commands(guest: GuestRecord) -> Iterator[str]:
    own = guest.commands[guest.commands_of_others :]
    if before := guest.commands_left_out + guest.commands_of_others:
        yield f"… {plural(before, 'command')} before these, of other checks or too old"
    if len(own) > MOST_COMMANDS:
        yield f"… {len(own) - MOST_COMMANDS} more: {guest.commands_file} has all"
    for one in own[-MOST_COMMANDS:]:
        yield f"{_TIMES.format(one.at_s)}{one.line} → {one.reply or 'no reply'}"


def _memory(failure: FailureFolder) -> Iterator[RenderableType]:
    """Slots of the frames concerned, before and after the last change; then how they came to be so."""
    after = failure.after
    if after is None:
        return
    guest = failure.guests[-1]
    before, life = failure.before, failure.life
    pfns = [paddr_to_pfn(paddr) for paddr in guest.frames][:MOST_FRAMES]
    title = "slots when the check failed"
    if before is not None:
        title += f"; before `{guest.changed_by}` where that changed them" if guest.changed_by else ""
    lines = [
        line
        for pfn in pfns
        if pfn < after.n_frames
        for line in _slot(pfn, before.slots if before is not None else None, after.slots)
    ]
    if lines:
        yield _section(title, lines)
    if life is not None and (changes := list(_changes(life, guest.commands_of_others))):
        yield _section("changes of these slots", changes)


def _slot(pfn: Pfn, before: NDArray[Any] | None, after: NDArray[Any]) -> Iterator[str]:
    yield f"frame {pfn_to_paddr(pfn):#x}"
    for name in _fields(after):
        now = int(after[name][pfn])
        was = now if before is None else int(before[name][pfn])
        changed = "" if was == now else f"   was {was:#x}"
        yield f"  {name:<12}{now:#x}{changed}"


def _changes(life: Life, first: int) -> Iterator[str]:
    """What each command did to the slots; of a guest that several checks had, those of the last one."""
    for step in range(first, len(life.commands)):
        rows = life.slots[step], life.slots[step + 1]
        told = [
            f"{pfn_to_paddr(pfn):#x}.{name} {int(rows[0][name][at]):#x} → {int(rows[1][name][at]):#x}"
            for at, pfn in enumerate(life.pfns[:MOST_FRAMES])
            for name in _fields(life.slots)
            if rows[0][name][at] != rows[1][name][at]
        ]
        if told:
            yield life.commands[step]
            yield from (f"    {line}" for line in told)


def _fields(slots: NDArray[Any]) -> list[str]:
    """The fields of a slot that hold one number."""
    names = slots.dtype.names or ()
    return [name for name in SLOT_FIELDS if name in names and np.issubdtype(slots.dtype[name], np.integer)]
