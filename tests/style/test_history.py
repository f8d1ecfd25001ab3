"""Each commit since this rule says what it does to which part, and why."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIRST = "5d9f41126dd64ccc2fe0a0e6dd7541b1ced6d936"
"""Where this began; a third of the commits before it have no body."""
LONGEST_SUBJECT = 72
SUBJECT = re.compile(r"[a-z][\w/ .,+-]*: \S.*[^.\s]", re.IGNORECASE)
FEWEST_WORDS = 8


class Commit(NamedTuple):
    name: str
    subject: str
    body: str


def faults(commit: Commit) -> list[str]:
    """What is wrong with a message."""
    found = []
    if not SUBJECT.fullmatch(commit.subject):
        found.append("its subject is not `area: verb object`")
    if len(commit.subject) > LONGEST_SUBJECT:
        found.append(f"its subject has {len(commit.subject)} characters")
    if len(commit.body.split()) < FEWEST_WORDS:
        found.append("its body does not say why")
    return found


def git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def commits() -> list[Commit]:
    """All since `FIRST` but merges."""
    if git("merge-base", "--is-ancestor", FIRST, "HEAD").returncode != 0:
        pytest.skip("this is no clone with its history: `git fetch --unshallow`")
    log = git("log", "--no-merges", "--format=%h%x00%s%x00%b%x01", f"{FIRST}..HEAD").stdout
    return [Commit(*entry.strip("\n").split("\0")) for entry in log.split("\x01") if entry.strip()]


def test_every_commit_says_what_it_does_and_why() -> None:
    wrong = [f"{one.name}: {one.subject!r}: {fault}" for one in commits() for fault in faults(one)]
    assert wrong == []


@pytest.mark.parametrize(
    ("subject", "body", "fault"),
    [
        ("guest: keep what a backtrace tells as values", "", "its body does not say why"),
        ("guest: keep it", "As asked.", "its body does not say why"),
        ("Keep what a backtrace tells", "One two three four five six seven eight.", "`area: verb object`"),
        ("guest: keep it.", "One two three four five six seven eight.", "`area: verb object`"),
        (f"guest: {'k' * 66}", "One two three four five six seven eight.", "73 characters"),
    ],
)
def test_message_without_reason_or_area_is_refused(subject: str, body: str, fault: str) -> None:
    [found] = faults(Commit("0000000", subject, body))
    assert fault in found
