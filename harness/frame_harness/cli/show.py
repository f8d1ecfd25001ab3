"""Pages through the archive of a run."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from frame_harness.archive.folder import Archive, FailureFolder
from frame_harness.archive.runs import LATEST, runs_place
from frame_harness.base.errors import UsageError
from frame_harness.cli import show_text
from frame_harness.cli.judge import contract_of
from frame_harness.judge.evidence import CheckResult
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.judge.findings import Finding
from frame_harness.judge.reason import BROKEN_OFF
from frame_harness.judge.verdict import Verdict
from frame_harness.report.terminal import console_for, print_parts, verdict_line

_RAW: Final = re.compile(r"(?:^|\s)-?\w*[rR]|--raw-control-chars", re.IGNORECASE)
"""The options of `less` that let colors through."""


@dataclass(frozen=True, eq=False)
class ShownEntry:
    """A finding, or a check that came to no end; with what its guests left, where they left anything."""

    result: CheckResult
    finding: Finding | None
    failure: FailureFolder | None


def show(folder: Path | None, number: int | None) -> ExitCode:
    """Show what a run found, or one entry of it; ask for the next one at a terminal.

    Args:
        folder: of the run; None for the last one.
        number: of the entry; None for the list.
    Raises:
        HarnessError: the folder is no archive, or damaged, or has no such entry.
    """
    archive = Archive.open(folder or runs_place() / LATEST)
    verdict = archive.verdict(contract_of(archive))
    entries = entries_of(archive, verdict)
    console = console_for()
    if number is not None:
        print_parts(show_text.entry_parts(_chosen(entries, number), archive), console)
        return ExitCode.PASS
    _list(archive, verdict, entries, console)
    if console.is_terminal and entries:
        _ask(archive, entries, console)
    return ExitCode.PASS


def entries_of(archive: Archive, verdict: Verdict) -> list[ShownEntry]:
    """Findings in the order of the report, then checks that came to no end and left something."""
    found = [ShownEntry(one.first, one, archive.failure_of_finding(one)) for one in verdict.findings]
    stopped = [
        ShownEntry(result, None, failure)
        for result in archive.evidence.checks
        if result.outcome in BROKEN_OFF and (failure := archive.failure_of(result))
    ]
    return found + stopped


def _chosen(entries: Sequence[ShownEntry], number: int) -> ShownEntry:
    if not 1 <= number <= len(entries):
        raise UsageError(
            "show", str(number),
            expected=f"a number from 1 to {len(entries)}" if entries else "no number: the run found nothing",
            actual=number, next_step="leave the number away to see what there is",
        )  # fmt: skip
    return entries[number - 1]


def _list(archive: Archive, verdict: Verdict, entries: Sequence[ShownEntry], console: Console) -> None:
    print_parts([show_text.entry_lines(entries)] if entries else [], console)
    for note in archive.header.notes:
        console.print(f"not kept: {note}", soft_wrap=True)
    console.print(verdict_line(archive.evidence, verdict), crop=False, soft_wrap=True)


def _ask(archive: Archive, entries: Sequence[ShownEntry], console: Console) -> None:
    """Show one entry after the other in a pager, until the user has seen enough."""
    following = 1
    while True:
        try:
            answer = click.prompt(f"1 to {len(entries)}, q to end", default=str(following)).strip()
        except click.Abort as abort:
            if isinstance(abort.__context__, EOFError):  # Ctrl-D
                click.echo()
                return
            raise
        if answer.lower() in ("q", "quit", "exit"):
            return
        if not answer.isdecimal() or not 1 <= int(answer) <= len(entries):
            console.print(f"expected a number from 1 to {len(entries)}, or q")
            continue
        # `less` shows the codes of colors as text, unless it is told otherwise.
        with console.pager(styles=_RAW.search(os.environ.setdefault("LESS", "-R")) is not None):
            for part in show_text.entry_parts(entries[int(answer) - 1], archive):
                console.print(part, crop=False)
                console.print()
        following = int(answer) % len(entries) + 1
