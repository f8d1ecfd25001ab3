"""Proves that every operand of every command that reaches the subject is tried at its boundaries."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from frame_harness.contract.boundaries import around
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.functions import FUNCTIONS
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.frame_metadata.surface import ALONE, COMMANDS, WITHOUT_OPERANDS
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine
from tests.support.doors import ROOT, SOURCES
from tests.support.recorder import FILE

SUITE = sorted((ROOT / "tests" / "contract").glob("test_v_*.py"))
PYTEST = (
    *(sys.executable, "-m", "pytest", "-q", "-c", os.devnull, f"--rootdir={ROOT}"),
    *("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "tests.support.recorder"),
)
OPERAND = re.compile(r"<(\w+)>|\[(\w+)\]|(\w+)=|(?<![:\w|])(\w+(?:\|[\w:<>]+)+)")
PURPOSE = "pagetable|kernel|user|custom:<n>"
OPTIONAL = {"limit"}
# Commands that call no function which the module writes out, with the reason.
NO_FUNCTION = {"const": "reads constants", "frame.cmp": "compares by a derived trait"}
# Functions of the module that no command calls by itself, with the reason.
NOT_CALLED = {"alloc_frame": "of a trait; `trait.alloc_frame`"}


@pytest.fixture(scope="module")
def help_lines() -> list[str]:
    with Kernel.boot(build(frame_module(), "release"), load_machine("microvm")) as kernel:
        return list(kernel.call("help").data)


@pytest.fixture(scope="module")
def usages(help_lines: list[str]) -> dict[str, str]:
    heads = [line.partition(" - ")[0] for line in help_lines]
    return {head.partition(" ")[0]: head.partition(" ")[2] for head in heads}


def operands_of(usage: str) -> list[str]:
    """The operands in the notation of `help`, in the order of the words that are sent."""
    usage = usage.removeprefix("[new|default] ").replace(f"purpose={PURPOSE}", "purpose=")
    usage = usage.replace("zeroed=0|1", "zeroed=").replace(PURPOSE, "<purpose>")
    return [next(filter(None, match.groups())) for match in OPERAND.finditer(usage)]


def test_the_commands_of_the_guest_are_those_that_are_declared(usages: dict[str, str]) -> None:
    declared = {*COMMANDS, *ALONE}
    assert sorted(usages.keys() - declared) == [], "declare the operands in frame_metadata/surface.py"
    assert sorted(declared - usages.keys()) == [], "the guest has no such command"


def test_every_command_that_reaches_the_subject_names_the_functions_that_it_calls() -> None:
    silent = {command for command in (*COMMANDS, *WITHOUT_OPERANDS) if not FUNCTIONS.of_line(command)}
    assert silent == NO_FUNCTION.keys()


def test_the_operands_of_each_command_are_those_that_are_declared(usages: dict[str, str]) -> None:
    shown = {name: operands_of(usages[name]) for name in COMMANDS}
    assert shown == {name: list(command.operands) for name, command in COMMANDS.items()}
    for name in WITHOUT_OPERANDS:
        assert name == "alloc.all" or operands_of(usages[name]) == []


def test_an_operand_that_nobody_declared_is_seen() -> None:
    assert operands_of("<paddr> <count> [more]") == ["paddr", "count", "more"]
    assert operands_of("<order> movable|unmovable") == ["order", "movable|unmovable"]


def test_every_function_of_the_module_is_reached_by_a_command() -> None:
    text = frame_module().path.read_text(encoding="utf-8")
    declared = set(re.findall(r"^ *pub (?:const )?fn (\w+)", text, flags=re.MULTILINE))
    reached = {function for command in COMMANDS.values() for function in command.functions}
    assert declared - reached == set()
    assert reached - declared - NOT_CALLED.keys() == set()


def sent(lines: Iterable[str]) -> dict[str, dict[str, set[str]]]:
    """The words that were sent for each operand, by command."""
    found: dict[str, dict[str, set[str]]] = {}
    for line in lines:
        name, *words = line.split()
        command = COMMANDS.get(name)
        if command is None:
            continue
        named = dict(word.split("=", 1) for word in words if "=" in word)
        if not named:
            named = dict(zip(command.operands, words, strict=False))
        for operand, word in named.items():
            found.setdefault(name, {}).setdefault(operand, set()).add(word)
    return found


def missing(spoken: dict[str, dict[str, set[str]]]) -> dict[str, list[str]]:
    """The first values of each operand that were not sent."""
    found: dict[str, list[str]] = {}
    for name, command in COMMANDS.items():
        for operand, wanted in command.operands.items():
            words = spoken.get(name, {}).get(operand, set())
            numbers = {int(word, 0) for word in words if re.fullmatch(r"0x[0-9a-f]+|\d+", word)}
            left = sorted(str(value) for value in wanted if value not in words and value not in numbers)
            if left or not (words or operand in OPTIONAL):
                found[f"{name} {operand}"] = left[:5]
    return found


def test_an_operand_of_which_one_value_is_not_sent_is_seen() -> None:
    lines = [f"frame.containing {value:#x}" for value in around(52)]
    assert "frame.containing addr" not in missing(sent(lines))
    assert missing(sent(lines[:-1]))["frame.containing addr"] == [str(2**52 - 1)]
    assert "alloc purpose" in missing(sent(["alloc new zeroed=0 purpose=custom:0x0"]))
    assert "release paddr" in missing({}), "an operand without a boundary is sent, too"


@pytest.mark.slow
def test_every_operand_is_tried_at_each_of_its_boundaries(tmp_path: Path) -> None:
    """What the checks of the suite really send, on the built-in module."""
    file = tmp_path / "commands"
    finished = subprocess.run(
        [*PYTEST, "--machine", "microvm", "--profile", "release", *SUITE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{SOURCES}:{ROOT}", FILE: str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    spoken = sent(file.read_text(encoding="utf-8").splitlines())
    assert missing(spoken) == {}
