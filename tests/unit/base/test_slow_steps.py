"""A step that takes long says what it does and how far it is; one that does not says nothing."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from frame_harness.base import commands
from frame_harness.base.commands import SlowStep, run, speaker


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PATIENCE_S", 0.05)
    monkeypatch.setattr(commands, "REPEAT_S", 0.05)


def test_short_step_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PATIENCE_S", 60.0)
    said: list[str] = []
    with SlowStep("tying a shoe", said.append):
        pass
    assert said == []


def test_long_step_says_how_far_it_is_and_when_it_is_done() -> None:
    said: list[str] = []
    # The child goes on until it is told to stop, which happens once something was said.
    script = "print('1 of 2', flush=True)\nimport sys, select\nselect.select([], [], [], 0.4)"
    finished = run(
        [sys.executable, "-c", script], what="climbing", say=said.append, how_far=lambda line: line.strip()
    )
    assert finished.status == 0
    assert any(line.startswith("climbing … ") and line.endswith("1 of 2") for line in said)
    assert said[-1].startswith("climbing: done in ")


def test_failed_step_does_not_claim_to_be_done() -> None:
    said: list[str] = []
    with pytest.raises(ValueError, match="oops"), SlowStep("falling", said.append) as step:
        while not said:
            step.at("down")
        raise ValueError("oops")
    assert all("done" not in line for line in said)


def test_both_streams_are_read_however_much_comes() -> None:
    script = "import sys\nfor _ in range(3000): print('o' * 100); print('e' * 100, file=sys.stderr)"
    finished = run([sys.executable, "-c", script], what="talking")
    assert (len(finished.out), len(finished.err)) == (303_000, 303_000)


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        ("import sys; sys.exit('error: no luck')", 1, "error: no luck"),
        ("import sys; sys.exit('first\\nE: second\\nlast')", 1, "E: second"),
        (
            "import sys; sys.exit('main.c:1: fatal error: disk full\\ngiving up')",
            1,
            "main.c:1: fatal error: disk full",
        ),
        ("import sys; sys.exit(3)", 3, "exit status 3"),
        ("import os; os.kill(os.getpid(), 9)", -9, "exit status -9"),
        ("import sys; sys.stdout.buffer.write(b'\\xff'); sys.exit(1)", 1, "\ufffd"),
    ],
)
def test_failure_is_told_in_the_tools_own_words(script: str, status: int, words: str) -> None:
    finished = run([sys.executable, "-c", script], what="failing")
    assert (finished.status, finished.last_words()) == (status, words)


def test_missing_program_is_a_status_not_an_exception() -> None:
    finished = run(["/nonexistent/program"], what="starting")
    assert finished.status == 127
    assert "/nonexistent/program" in finished.last_words()


def test_terminal_shows_one_line_a_step() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, n_replaced in ((Terminal(), 2), (io.StringIO(), 0)):
        say = speaker(stream)
        for line in ("one … 2 s", "one … 7 s, half", "one: done in 9 s", "two … 2 s"):
            say(line)
        assert stream.getvalue().count("\x1b[1A") == n_replaced


@pytest.mark.parametrize("there", [True, False])
def test_folder_for_temporary_files_is_passed_on_if_it_is_there(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path if there else tmp_path / "not there"
    monkeypatch.setenv("TMPDIR", str(folder))
    asked = run(["sh", "-c", 'echo "${TMPDIR-none}"'], what="asking")
    assert asked.out.strip() == (str(folder) if there else "none")
