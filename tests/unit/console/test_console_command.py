"""A conversation with a guest: from a pipe with a true status, at a terminal as in any other shell."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pexpect
import pytest
from click.testing import CliRunner, Result

from frame_harness.cli.console import _Talk
from frame_harness.cli.main import cli
from frame_harness.judge.exit_codes import ExitCode
from tests.support.doors import SOURCES
from tests.support.versions import OLDER

ON = ("console", "--machine", "microvm", "--profile", "release")
PATIENCE_S = 300


def piped(lines: str, *words: str) -> Result:
    return CliRunner().invoke(cli, [*ON, *words], input=lines, env={"FRAME_RS": ""})


def test_each_line_of_a_pipe_is_answered_before_the_next_one_comes() -> None:
    said: list[str] = []

    def lines() -> Iterator[str]:
        yield "const\n"
        assert said == ["const"]
        yield "\n"
        yield "quit\n"
        raise AssertionError("nobody asks for more")

    talk: Any = SimpleNamespace(_say=said.append)
    assert _Talk.with_a_pipe(talk, lines()) is ExitCode.PASS and said == ["const"]


def test_guest_that_crashed_is_no_success_and_what_did_not_run_is_named() -> None:
    run = piped("crash ud\nconst\nslot.peek 0x1000\n")
    assert run.exit_code == ExitCode.CRASH, run.output
    assert run.output.endswith("not run, the guest is gone:\n  const\n  slot.peek 0x1000\n")
    assert "PAGE_SIZE" not in run.output, "nobody is there to answer"


def test_trace_is_shown_decoded_without_lines_of_the_protocol() -> None:
    run = piped("crash ud\n")
    assert "name=#UD" in run.output and "commands::crash" in run.output and "rax=0x" in run.output
    assert not [line for line in run.output.splitlines() if line.startswith(("!", "=", ":"))]


def test_slot_is_shown_by_its_fields() -> None:
    run = piped("slot.peek 0x1000000\ndump 5 3\nexit pass\n")
    assert run.exit_code == ExitCode.PASS, run.output
    shown = [line for line in run.output.splitlines() if "refcount=0x" in line]
    assert shown[0].startswith("ok next=0x") and " guard=0x" in shown[0] and " generation=0x" in shown[0]
    assert shown[1].startswith("3 × next=0x")


def test_what_follows_the_exit_of_the_guest_is_named() -> None:
    run = piped("exit pass\nconst\n")
    assert run.exit_code == ExitCode.PASS and "not run, the guest is gone:\n  const\n" in run.output


@pytest.mark.parametrize("word", ["quit", "exit"])
def test_quit_ends_the_conversation(word: str) -> None:
    run = piped(f"banner\n{word}\nconst\n")
    assert run.exit_code == ExitCode.PASS, run.output
    assert "err " not in run.output and "PAGE_SIZE" not in run.output


def test_older_module_shows_the_fields_that_its_slots_have() -> None:
    run = piped("slot.peek 0x1000\nslot.generation 0x1000\n", "--frame-rs", str(OLDER))
    assert run.exit_code == ExitCode.PASS, run.output
    assert " refcount=0x" in run.output and " generation=0x" not in run.output
    assert "which lacks MetaSlot::generation" in run.output


@pytest.fixture
def terminal() -> Iterator[pexpect.spawn]:
    argv = ["-c", "from frame_harness.cli.main import main; main()", *ON]
    env = {
        **os.environ,
        "PYTHONPATH": str(SOURCES),
        "FRAME_RS": "",
        "TERM": "dumb",
        "INPUTRC": "/dev/null",
    }
    child = pexpect.spawn(sys.executable, argv, env=env, timeout=PATIENCE_S, encoding="utf-8")
    yield child
    child.close(force=True)


def test_ctrl_c_leaves_the_line_or_the_command_and_the_session_goes_on(terminal: pexpect.spawn) -> None:
    terminal.expect("> ")
    terminal.send("nonsense\x03")
    terminal.expect("> ")
    for line in ("watch 0x1000 meta_aux", "slot.meta_aux_store 0x1000 7"):
        terminal.sendline(line)
        terminal.expect("> ")
    terminal.sendline("crash hang")
    terminal.expect("crash hang")
    terminal.sendintr()
    terminal.expect("interrupted during `crash hang`")
    terminal.expect("watch meta_aux of frame 0x1000: 0x7 → 0x0")
    terminal.expect("> ")
    terminal.sendline("const")
    terminal.expect("PAGE_SIZE=0x1000")
    terminal.expect("> ")
    terminal.sendeof()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == ExitCode.PASS


def test_person_is_told_whom_they_talk_to_and_how_to_leave(terminal: pexpect.spawn) -> None:
    terminal.expect(r"a guest with built-in \(release\) on microvm; `help` lists .* `quit` ends")
    terminal.expect("> ")
    terminal.sendline("quit")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == ExitCode.PASS


def test_tab_completes_commands(terminal: pexpect.spawn) -> None:
    terminal.expect("> ")
    terminal.sendline("buddy.dr\t")
    terminal.expect("buddy.drain")
    terminal.expect("ok")
