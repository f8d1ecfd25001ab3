"""Each commit since these rules says what it does to which part, why, and how that was shown."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIRST = "5d9f41126dd64ccc2fe0a0e6dd7541b1ced6d936"
"""Where this began; a third of the commits before it have no body."""
SHOWN_SINCE = "cdbd6f2aa4cff1dd4e9d93b64ae6236ed1f933c1"
"""Since then a message also names a test, a command or a measured number."""
LONGEST_SUBJECT = 72
SUBJECT = re.compile(r"[a-z][\w/ .,+-]*: \S.*[^.\s]", re.IGNORECASE)
FEWEST_WORDS = 8
EVIDENCE = re.compile(r"tests/|`[^`]+`|\d")


class Commit(NamedTuple):
    name: str
    subject: str
    body: str


def faults(commit: Commit, *, shown: bool = True) -> list[str]:
    """What is wrong with a message; `shown` asks for evidence, too."""
    found = []
    if not SUBJECT.fullmatch(commit.subject):
        found.append("its subject is not `area: verb object`")
    if len(commit.subject) > LONGEST_SUBJECT:
        found.append(f"its subject has {len(commit.subject)} characters")
    if len(commit.body.split()) < FEWEST_WORDS:
        found.append("its body does not say why")
    elif shown and not EVIDENCE.search(commit.body):
        found.append("its body does not say how it was shown to work")
    return found


def git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def commits(since: str, until: str = "HEAD") -> list[Commit]:
    """All behind a commit but merges."""
    if git("merge-base", "--is-ancestor", since, "HEAD").returncode != 0:
        pytest.skip("this is no clone with its history: `git fetch --unshallow`")
    log = git("log", "--no-merges", "--format=%h%x00%s%x00%b%x01", f"{since}..{until}").stdout
    return [Commit(*entry.strip("\n").split("\0")) for entry in log.split("\x01") if entry.strip()]


def test_every_commit_says_what_it_does_and_why() -> None:
    before = [(one, faults(one, shown=False)) for one in commits(FIRST, SHOWN_SINCE)]
    since = [(one, faults(one)) for one in commits(SHOWN_SINCE)]
    assert before
    wrong = [f"{one.name}: {one.subject!r}: {fault}" for one, found in before + since for fault in found]
    assert wrong == []


@pytest.mark.parametrize(
    ("subject", "body", "fault"),
    [
        ("guest: keep what a backtrace tells as values", "", "its body does not say why"),
        ("guest: keep it", "As asked.", "its body does not say why"),
        ("Keep what a backtrace tells", "One two three four five six `seven` eight.", "`area: verb object`"),
        ("guest: keep it", "One two three four five six seven eight.", "how it was shown"),
        ("guest: keep it.", "One two three four five six `seven` eight.", "`area: verb object`"),
        (f"guest: {'k' * 66}", "One two three four five six `seven` eight.", "73 characters"),
    ],
)
def test_message_without_reason_or_area_is_refused(subject: str, body: str, fault: str) -> None:
    [found] = faults(Commit("0000000", subject, body))
    assert fault in found
