"""Proves that every fault, hook, machine and option that the shim offers is used by a check of the suite."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from frame_harness.cli.check import DEFAULT_MACHINES
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.machine.definition import known_machines, load_machine
from tests.unit.guest.test_guest_crashes import CRASHES

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "harness" / "frame_harness"
SHIM = ROOT / "kernel_shim" / "src"
PARTS = ROOT / "kernel_shim" / "parts"
SUITE = sorted((ROOT / "tests" / "contract").glob("*.py"))
# Modules of the harness through which the suite talks to the guest, or plays what it plays.
THROUGH = [
    PACKAGE / name
    for name in (
        "frame_guest/kernel.py", "guest/booted.py", "frame_storms/table.py", "concurrency/interleaving.py",
        "session/plugin.py",
    )
]  # fmt: skip
CAMPAIGN = sorted((PACKAGE / "frame_histories").glob("*.py"))
OTHER_TESTS = [path for part in ("unit", "red") for path in sorted((ROOT / "tests" / part).rglob("*.py"))]

OF_THE_HARNESS = {
    "nonce": "of every guest: the proof that it is this start of it",
    "onpanic": "of every guest",
}
"""Words of the command line that are no choice of a check."""
FOR_TESTS = {"panic", "fault", "nothing"}
"""Steps with which the tests of the harness end a CPU or keep it busy; no check of a subject does."""


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def words_of(paths: list[Path]) -> str:
    """All string constants but docstrings, one a line."""
    return "\n".join(word for path in paths for word in _constants(ast.parse(text_of(path))))


def _constants(tree: ast.AST) -> Iterator[str]:
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and _is_text(node.value)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def keywords_of(paths: list[Path]) -> set[tuple[str, str]]:
    """(name, value) of every keyword argument and of every item of a dictionary, value as its text."""
    found: set[tuple[str, str]] = set()
    for node in (node for path in paths for node in ast.walk(ast.parse(text_of(path)))):
        if isinstance(node, ast.keyword) and node.arg:
            found.add((node.arg, ast.unparse(node.value)))
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    found.add((key.value, ast.unparse(value)))
    return found


def spoken(word: str, text: str) -> bool:
    """Whether a word stands by itself in a text."""
    return re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w.-])", text) is not None


@pytest.fixture(scope="module")
def guest() -> Iterator[Kernel]:
    with Kernel.boot(build(frame_module(), "release"), load_machine("microvm"), cpus=2) as kernel:
        yield kernel


def usage(kernel: Kernel, command: str) -> str:
    """What `help` shows behind a command's name."""
    (line,) = [one for one in kernel.call("help", command).data if one.split()[0] == command]
    return line.partition(" - ")[0].partition(" ")[2]


def test_every_fault_is_injected_by_a_check(guest: Kernel) -> None:
    faults = [alternative.split()[0] for alternative in usage(guest, "inject").split(" | ")]
    assert {"boot.misalign", "buddy.next", "clear"} <= set(faults)
    words = words_of([*SUITE, *THROUGH])
    played = words_of(CAMPAIGN)  # by the histories that the suite plays
    unused = [fault for fault in faults if not spoken(fault, words) and not spoken(fault, played)]
    assert unused == [], "no check injects this"


def test_every_fault_of_the_boot_allocator_is_injected_by_a_check_of_its_own() -> None:
    """A history begins behind it, so none can play it."""
    fields = re.findall(
        r"^    pub (\w+): ", text_of(PARTS / "boot_frames.rs").split("struct Faults {")[1], re.M
    )
    words = words_of(SUITE)
    assert {"refuse", "misalign"} <= set(fields)
    offered = [name for name in fields if f"boot.{name}" in text_of(SHIM / "frame_commands/inject.rs")]
    assert [name for name in offered if not spoken(f"boot.{name}", words)] == []


def test_every_vtable_with_hooks_is_registered_by_a_check(guest: Kernel) -> None:
    vtables = usage(guest, "vt.addr").split("|")
    assert len(vtables) == 6
    words = words_of(SUITE).splitlines()  # each a word by itself, in a table or an argument
    assert [name for name in vtables if name not in words] == []


def test_every_option_of_the_command_line_is_used_by_a_check() -> None:
    options = set(
        re.findall(r'"(\w+)"', text_of(PARTS / "command_line.rs").split("const KEYS")[1].split(";\n")[0])
    )
    used = {name for name, _ in keywords_of(SUITE)}
    assert options >= {"init", "reserve", "ramtop", "cpus"}
    assert options - used - OF_THE_HARNESS.keys() == set()


def test_every_stage_of_the_start_is_used_by_a_check() -> None:
    """`full` is what a guest does when it is not told."""
    stages = re.findall(r'Some\("(\w+)"\) => Self::', text_of(PARTS / "command_line.rs"))
    stages += re.findall(r'None \| Some\("(\w+)"\) => Self::', text_of(PARTS / "command_line.rs"))
    used = keywords_of([*SUITE, PACKAGE / "session" / "plugin.py"])
    assert set(stages) == {"none", "array", "full"}
    assert [stage for stage in stages if stage != "full" and ("init", repr(stage)) not in used] == []


def test_every_machine_is_judged_on() -> None:
    marked = {
        name
        for path in SUITE
        for arguments in re.findall(r"mark\.machine\(([^)]*)\)", text_of(path))
        for name in re.findall(r'"([^"]+)"', arguments)
    }
    assert set(known_machines()) - marked - set(DEFAULT_MACHINES) == set()


def test_every_step_of_a_program_is_run_by_a_check(guest: Kernel) -> None:
    """By a storm or by two CPUs whose turns are forced."""
    steps = {line.split()[0] for line in guest.call("smp.ops").data}
    words = words_of([*SUITE, PACKAGE / "frame_storms" / "table.py", PACKAGE / "races" / "stage.py"])
    run = {step for step in steps if re.search(rf"^{re.escape(step)}(?:[@=~].*)?$", words, re.M)}
    assert steps - run - FOR_TESTS == set()
    tested = words_of(OTHER_TESTS)
    assert [step for step in FOR_TESTS if not re.search(rf"^{step}$", tested, re.M)] == []


def test_every_crash_is_called_for_by_a_test(guest: Kernel) -> None:
    """No check of a subject crashes the guest; the tests of the harness do."""
    assert set(usage(guest, "crash").split("|")) == {*CRASHES, "panic", "hang", "guard"}
    words = words_of(OTHER_TESTS)
    assert all(f"crash {kind}" in words for kind in ("panic", "hang", "guard"))
