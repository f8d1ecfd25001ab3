"""Writes what CI systems read: SARIF, code quality, and what GitHub Actions shows of a job."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from frame_harness.base.disk import writing
from frame_harness.base.errors import MissingToolError, UsageError
from frame_harness.base.git import Repository
from frame_harness.base.paths import real
from frame_harness.judge.evidence import Evidence
from frame_harness.judge.verdict import Verdict
from frame_harness.report import github

_WORKSPACES: Final = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR")
"""Where a CI system says that the repository is: it shows paths relative to that."""


def root_of(path: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """What reports name files relative to: the folder that the CI system says, else the repository."""
    named = (real(Path(environment[name])) for name in _WORKSPACES if environment.get(name))
    if (given := next((one for one in named if path.is_relative_to(one)), None)) is not None:
        return given
    folder = path if path.is_dir() else path.parent
    try:
        return Repository.around(folder).root
    except (UsageError, MissingToolError):
        return folder


@contextmanager
def in_github_actions(
    evidence: Evidence, verdict: Verdict, root: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[None]:
    """Tell GitHub Actions of the findings, where it runs this; what is printed meanwhile is no command to it.

    A report shows what a guest printed, and a line of a guest may look like a command.
    """
    if environment.get("GITHUB_ACTIONS") != "true":
        yield
        return
    for line in github.commands(evidence, verdict, root):
        click.echo(line)
    token = secrets.token_hex(16)
    click.echo(f"::stop-commands::{token}")
    try:
        yield
    finally:
        click.echo(f"::{token}::")


def add_summary(
    evidence: Evidence, verdict: Verdict, root: Path, environment: Mapping[str, str] = os.environ
) -> None:
    """Add the verdict to the summary of the job that GitHub Actions shows, where it runs this.

    Raises:
        Unwritable, OSError: it cannot be written.
    """
    file = environment.get("GITHUB_STEP_SUMMARY")
    if file and environment.get("GITHUB_ACTIONS") == "true":
        text = github.summary(evidence, verdict, root)
        with (
            writing(Path(file), instead="let GITHUB_STEP_SUMMARY name another file"),
            Path(file).open("a", encoding="utf-8") as summary,
        ):
            summary.write(text)
