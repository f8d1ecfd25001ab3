"""What the plugin tells of a build stands on lines of its own, on a terminal that pytest writes to, too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pexpect
import pytest

from tests.support.doors import PYTEST, SOURCES

TELLS = """\
from frame_harness.session.plugin import SESSION

def test_it(request):
    say = request.config.stash[SESSION].say
    for what in ("2 s", "7 s, " + "far " * 40):
        say("compiling a module … " + what)
    say("compiling a module: done in 8 s")
"""
PATIENCE_S = 300


def on_a_terminal(folder: Path, *arguments: str) -> str:
    """Run a user's test on a terminal of 60 columns; return all that came."""
    (folder / "no-pytest.ini").write_text("[pytest]\n")
    (folder / "test_user.py").write_text(TELLS)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env |= {"PYTHONPATH": str(SOURCES), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TERM": "dumb"}
    words = [*PYTEST[1:], "-p", "xdist", "--color=no", *arguments]
    child = pexpect.spawn(
        sys.executable, words, cwd=folder, env=env, encoding="utf-8", dimensions=(24, 60), timeout=PATIENCE_S
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == pytest.ExitCode.OK, child.before
    return str(child.before).replace("\r\n", "\n")


def test_step_of_a_build_begins_a_line_and_the_next_one_replaces_it_alone(tmp_path: Path) -> None:
    said = on_a_terminal(tmp_path)
    _, _, after = said.partition("test_user.py \n")
    assert after, repr(said)
    first, second, third, result, *_ = after.splitlines()
    assert first == "compiling a module … 2 s"
    assert second.startswith("\x1b[1A\x1b[2Kcompiling a module … 7 s, far ") and second.endswith("…")
    assert len(second.removeprefix("\x1b[1A\x1b[2K")) < 60, "a line that wraps is not replaced as a whole"
    assert third == "\x1b[1A\x1b[2Kcompiling a module: done in 8 s"
    assert result.startswith(". ")


def test_workers_replace_no_line_of_somebody_else(tmp_path: Path) -> None:
    said = on_a_terminal(tmp_path, "-n", "1")
    assert "compiling a module: done in 8 s" in said and "\x1b[1A" not in said
