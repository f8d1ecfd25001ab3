"""Stops a guest where a check fails, so that a person's gdb finds it there."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import click

from frame_harness.base.commands import speaker
from frame_harness.base.errors import HarnessError
from frame_harness.base.program import program
from frame_harness.base.text import plural
from frame_harness.cli.check import DEFAULT_MACHINES, CheckRequest, asked_for
from frame_harness.cli.last_broken import broken_last
from frame_harness.debugging.gdb_command import read_launch_json
from frame_harness.debugging.holding import HeldCheck, where_to_hold
from frame_harness.debugging.recorder import record
from frame_harness.debugging.session import FailedCheck, first_failure
from frame_harness.debugging.stops import require_place
from frame_harness.image.build import build
from frame_harness.judge.evidence import Outcome
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.report.blocks import result_block
from frame_harness.report.terminal import console_for, print_parts
from frame_harness.session.request import SessionRequest


@dataclass(frozen=True)
class DebugRequest:
    """A check of a frame module, by its name or a clause's id, with the runs that it may have."""

    check: str
    frame_rs: Path | None
    machines: tuple[str, ...]
    profile: str

    def of_a_session(self) -> SessionRequest:
        """What pytest is asked for, with everything built.

        Raises:
            HarnessError: a wrong path or machine; the module does not compile.
        """
        request = CheckRequest(
            frame_rs=self.frame_rs, machines=self.machines or DEFAULT_MACHINES, profile=self.profile
        )
        subject, machines = asked_for(request)
        image = build(subject, self.profile, say=speaker(sys.stderr))
        asked = replace(request.of_a_session(image.subject, machines), any_machine=not self.machines)
        return replace(asked, first=frozenset(one.place for one in broken_last(subject)))


def debug(request: DebugRequest, at: str, *, before_last: bool, vscode: Path | None) -> ExitCode:
    """Make a check until it fails, then again with a guest that waits for gdb.

    Returns PASS when nothing failed, NO_TESTS when nothing was looked at, else FAIL.
    Raises:
        HarnessError: there is no such check, or no such place.
    """
    # Both before anything is built.
    if at:
        require_place(at)
    if vscode is not None:
        read_launch_json(vscode)
    asked = request.of_a_session()
    failure = found(request, asked)
    if isinstance(failure, ExitCode):
        return failure
    where = where_to_hold(asked, failure, at, before_last=before_last)
    then = HeldCheck(asked, failure, where, click.echo, vscode).run()
    if then is None:
        click.echo("it passed this time")
        return ExitCode.PASS
    if (then.result.outcome, then.result.message) == (failure.result.outcome, failure.result.message):
        click.echo("it failed as before")
    else:
        click.echo(f"it ended in another way this time: {then.result.outcome}: {then.result.message}")
    return ExitCode.FAIL


def make_recording(request: DebugRequest) -> ExitCode:
    """Make a check that fails once more, recorded, and keep the recording.

    Returns PASS when nothing failed, NO_TESTS when nothing was looked at, else FAIL.
    Raises:
        HarnessError: there is no such check, or it cannot be recorded.
    """
    asked = request.of_a_session()
    failure = found(request, asked)
    if isinstance(failure, ExitCode):
        return failure
    folder, note = record(asked, failure)
    click.echo(f"recorded {plural(len(note.commands), 'command')} in {folder}")
    again = f"{program()} rewind {shlex.quote(request.check)} FIELD --recording {shlex.quote(str(folder))}"
    click.echo(f"who wrote a field last: {again}\nFIELD is one of {', '.join(note.fields)}")
    return ExitCode.FAIL


def found(request: DebugRequest, asked: SessionRequest) -> FailedCheck | ExitCode:
    """The first failure of the checks that are asked for, shown; where none fails, that is said.

    Then the status is PASS, or NO_TESTS where no check looked at anything.

    Raises:
        HarnessError: it fails without a guest, or there is no such check.
    """
    made = first_failure(asked, request.check)
    failure = made.failure
    if failure is None:
        others = ", ".join(
            f"{count} {outcome}" + (f" ({made.reasons[outcome]})" if outcome in made.reasons else "")
            for outcome, count in made.outcomes.items()
            if outcome is not Outcome.PASSED
        )
        if not (passed := made.outcomes.get(Outcome.PASSED, 0)):
            click.echo(f"{request.check}: nothing was looked at: {others or 'no check was made'}")
            return ExitCode.NO_TESTS
        also = f", {others}" if others else ""
        click.echo(f"{request.check}: nothing fails, {plural(passed, 'check')} made{also}")
        return ExitCode.PASS
    click.echo(f"{failure.check.check} fails on {failure.check.run}")
    print_parts([result_block(failure.result)], console_for())
    if not failure.commands:
        raise HarnessError(
            "check", failure.check.check,
            detail="it fails without a guest: there is none to stop, or to record",
            next_step="see its finding; `orderings` shows the compiled code that some checks read",
        )  # fmt: skip
    return failure
