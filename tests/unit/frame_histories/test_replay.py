"""A script that somebody wrote or changed is played as far as it makes sense, or refused with its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from frame_harness.base.errors import UsageError
from frame_harness.cli.main import cli
from frame_harness.frame_histories.boot_configs import ISLANDS
from frame_harness.frame_histories.lockstep import Lockstep, OwnHost
from frame_harness.frame_histories.script_play import play_script
from frame_harness.frame_histories.scripts import Script, parse
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import GuestCrashed
from frame_harness.image.build import build
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.machine.definition import load_machine
from tests.support.bad_ends import end_badly
from tests.support.history_mutants import KEEPS_POISONED
from tests.support.mutants import broken_here

HEAD = "# frame-harness script 1\n# clause: GUARD-08: some words\n# machine: q35\n# profile: release\n"
LIFE_OF_A_LEAK = (
    "            slot.mark_poisoned();\n            return false;\n        }\n        if self.zeroed",
    "            slot.mark_poisoned();\n            slot.advance_generation();\n"
    "            return false;\n        }\n        if self.zeroed",
)
FOUND_ON = "frame.rs sha256 " + "0" * 64


@pytest.fixture(scope="module")
def lockstep() -> Iterator[Lockstep]:
    host = OwnHost(build(frame_module(), "release"), load_machine("q35"))
    with Lockstep(host, ISLANDS) as lockstep:
        yield lockstep


def script(*lines: str) -> Script:
    return replace(parse(HEAD + "\n".join([*lines, ""]), "my.txt"), boot_config=ISLANDS)


def replay(folder: Path, *lines: str, frame_rs: Path | None = None) -> Result:
    file = folder / "script.txt"
    file.write_text(HEAD + "\n".join([*lines, ""]), encoding="utf-8")
    named = ["--frame-rs", str(frame_rs)] if frame_rs else []
    return CliRunner().invoke(cli, ["replay", str(file), *named], env={"FRAME_RS": ""})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("allloc", "not known to the model, did you mean 'alloc'"),
        ("crash hang", "not known to the model"),
        ("alloc purpose=nosuch", r"expected zeroed=0\|1 or purpose=pagetable\|"),
        ("alloc purpose=custom:x", "expected a number"),
        ("alloc purpose=custom:0x100000000", "expected 0 to 0xffffffff"),
        ("alloc sideways", "expected zeroed="),
        ("slot.set_flags 0x1180000", "expected a number as argument 2"),
        ("slot.set_flags 0x1180000 {0}", "expected a number as argument 2"),
        ("slot.set_flags 0x1180000 1 2", "unexpected argument: 2"),
        ("slot.set_flags -1 1", "expected 0 to 0xffffffffffffffff as argument 1"),
        ("release 0x1180000 40", "expected 0 to 0x14 as argument 2"),
        ("inject", "no such fault is known"),
    ],
)
def test_line_that_nobody_can_play_is_named(line: str, words: str) -> None:
    """Also behind others that can be played, and before any guest is started."""
    with pytest.raises(UsageError, match=words) as raised:
        script("alloc", line, "alloc")
    assert raised.value.which == f"my.txt: `{line}`"
    assert raised.value.next_step == "fix that line, or one before it"


@pytest.mark.parametrize("last", ["release 0x1180000 0", "array.unmap 0x1180000"])
def test_vtable_that_nobody_registered_is_a_mistake_of_the_script(last: str, lockstep: Lockstep) -> None:
    vtable = script("alloc", "slot.set_vtable_bits 0x1180000 0x1000", last)
    with pytest.raises(UsageError, match=rf"script: my\.txt: `{last}`"):
        play_script(lockstep, vtable, "my.txt")


def test_command_that_the_guest_alone_refuses_is_named(lockstep: Lockstep) -> None:
    calls = " ".join(["zeroed=0"] * 17)
    with pytest.raises(UsageError, match=rf"my\.txt: `alloc {calls}`: refused: expected at most 16 calls"):
        play_script(lockstep, script("alloc", f"alloc {calls}", "alloc"), "my.txt")


@pytest.mark.parametrize("line", ["slot.get_refcount 0xffffffffffff", "array.snapshot 0xffffffffff000"])
def test_address_without_a_slot_must_panic_as_the_contract_says(line: str, lockstep: Lockstep) -> None:
    assert play_script(lockstep, script(line, "alloc")) is None


def test_script_without_a_command_is_no_pass(tmp_path: Path) -> None:
    run = replay(tmp_path, "# nothing is left")
    assert isinstance(run.exception, UsageError)
    assert run.exception.summary.endswith("script.txt: expected a command, got none")


def test_script_of_a_profile_that_there_is_not_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "script.txt"
    file.write_text(HEAD.replace("release", "fast") + "alloc\n")
    run = CliRunner().invoke(cli, ["replay", str(file)], env={"FRAME_RS": ""})
    assert isinstance(run.exception, UsageError)
    expected = "expected `# profile: dev` or `# profile: release` or `# profile: cov`, got `# profile: fast`"
    assert expected in str(run.exception)


@pytest.mark.parametrize(
    ("data", "words"), [(b"\xff\xfe\x00", "it is no text"), (None, "cannot be read: No such file")]
)
def test_file_that_cannot_be_read_is_one_line(data: bytes | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "script.txt"
    if data is not None:
        file.write_bytes(data)
    run = CliRunner().invoke(cli, ["replay", str(file)], env={"FRAME_RS": ""})
    assert isinstance(run.exception, UsageError) and words in run.exception.summary
    assert run.exception.summary.count(str(file)) == 1


def test_module_that_a_script_was_found_on_is_named_where_it_is_another(tmp_path: Path) -> None:
    run = replay(tmp_path, f"# subject: {FOUND_ON}", "alloc")
    assert run.exit_code == ExitCode.PASS, run.output
    assert f"it was found on {FOUND_ON}; --frame-rs names the module to judge" in run.output
    same = replay(tmp_path, f"# subject: built-in sha256 {frame_module().sha256}", "alloc")
    assert "it was found on" not in same.output


def test_script_that_cannot_be_followed_to_its_end_is_no_pass(tmp_path: Path) -> None:
    """The module keeps a poisoned frame to itself, which is allowed; where that is the model cannot tell."""
    lines = ("buddy.drain", "slot.mark_poisoned 0x1180000", "inject buddy.next 0x1180000", "alloc")
    sound = replay(tmp_path, *lines)
    assert sound.exit_code == ExitCode.PASS and "GUARD-08 holds" in sound.output, sound.output
    leaky = replay(tmp_path, *lines, frame_rs=broken_here([KEEPS_POISONED]))
    assert leaky.exit_code == ExitCode.NO_TESTS, leaky.output
    assert "not all was played" in leaky.output and "holds" not in leaky.output
    bumped = replay(tmp_path, *lines, frame_rs=broken_here([KEEPS_POISONED, LIFE_OF_A_LEAK]))
    assert bumped.exit_code == ExitCode.FAIL, "a frame that nobody gets begins no life"


def test_histories_whose_guest_does_not_exit_as_it_should_are_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_badly(monkeypatch)
    words = ["fuzz", "--blind", "--commands", "50", "--seed", "1", "--scripts", str(tmp_path)]
    run = CliRunner().invoke(cli, words, env={"FRAME_RS": ""})
    assert isinstance(run.exception, GuestCrashed), run.output
    assert "expected pass, got the CPU was reset" in str(run.exception)
