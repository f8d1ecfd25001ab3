"""Prints the memory orderings that the compiler left in a subject, with what they break."""

from __future__ import annotations

from pathlib import Path

import click

from frame_harness.cli.options import to_stderr
from frame_harness.frame_metadata.orderings.rules import ORDERINGS
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.orderings.checker import check_orderings
from frame_harness.orderings.ir_shipped import Agreement, check_shipped
from frame_harness.orderings.report import WHAT_TO_DO, OrderingReport


def show_orderings(frame_rs: Path | None, profile: str, *, kernel: bool = False) -> ExitCode:
    """Print every function's accesses, what is worth knowing, what is broken.

    Args:
        kernel: read the whole shim built around the subject, too, inlined copies included.
    Raises:
        HarnessError: the subject does not compile, or the checker failed on its own canary.
    """

    subject = frame_module(frame_rs)
    toolchain = find_toolchain(say=to_stderr)
    report = check_orderings(subject, profile, ORDERINGS, toolchain, say=to_stderr)
    click.echo("\n".join(lines_of(report)))
    shipped = check_shipped(subject, profile, ORDERINGS, toolchain, say=to_stderr) if kernel else None
    if shipped:
        click.echo("\n".join(_lines_of_kernel(shipped)))
    broken = bool(report.violations) or bool(shipped and shipped.violations)
    if broken:
        return ExitCode.FAIL
    return ExitCode.NO_TESTS if "not-evaluated" in report.clauses.values() else ExitCode.PASS


def lines_of(report: OrderingReport) -> list[str]:
    """The report as text: accesses by function, clauses, notes, violations, proofs of the checker."""
    lines: list[str] = []
    for function, events in report.events.items():
        lines.append(function)
        lines += [f"    {event}" for event in events]
    lines += ["", *(f"{clause}  {outcome}" for clause, outcome in report.clauses.items())]
    unjudged = [f"{clauses}: {what}" for what, clauses in _by_cause(report).items()]
    if unjudged:
        unjudged.append(WHAT_TO_DO)
    for head, entries in (
        ("notes", report.notes), ("not evaluated", unjudged), ("violations", report.violations)
    ):  # fmt: skip
        if entries:
            lines += ["", head, *(f"  {line}" for entry in entries for line in str(entry).splitlines())]
    return [*lines, "", *(f"the checker itself: {proof}" for proof in report.proofs)]


def _by_cause(report: OrderingReport) -> dict[str, str]:
    """Return the clauses that each piece of code keeps from being judged."""
    causes: dict[str, list[str]] = {}
    for one in report.unjudged:
        causes.setdefault(str(one), []).append(one.clause)
    return {cause: ", ".join(clauses) for cause, clauses in causes.items()}


def _lines_of_kernel(shipped: Agreement) -> list[str]:
    said = "other than the subject alone" if shipped.violations else "as the subject alone"
    head = f"whole kernel: {shipped.instructions} atomic instructions from {shipped.sites} places, {said}"
    return ["", head, *map(str, shipped.violations)]
