"""Proves that watching tells what a save breaks and what it mends, on real guests, and leaves none behind."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.image.changed_code import changed_functions
from frame_harness.judge.exit_codes import ExitCode
from tests.support.doors import Door, announced, write_machine
from tests.support.mutants import Edit, kept

WATCH = (sys.executable, "-c", "import frame_harness_start; frame_harness_start.main()", "watch")
WRONG: Edit = (
    "Self { start_address: addr.align_down(PAGE_SIZE) }",
    "Self { start_address: addr.align_down(PAGE_SIZE) + u64::from(addr.as_u64() == 4097) * PAGE_SIZE }",
)
CLAUSE, TEST = "FRAME-01", "test_containing_address_clears_the_low_bits"
WITH_OTHERS = f"{TEST} or FRAME-06"
"""Also checks that have nothing to do with it, and are made after it."""
FRAME = "kernel_shim::memory::frame"
CHANGED = {f"{FRAME}::PhysFrame::containing_address", f"{FRAME}::PhysFrame::from_start_address"}


class Watched(Door):
    """The program beside an editor, which saves by putting another file in place."""

    def __init__(self, folder: Path, file: Path, machine: str | Path, *options: str) -> None:
        self.file = file
        self.output = folder / "output.txt"
        self._rounds = 0
        self.save(WELL)
        named = ("--frame-rs", self.file, "--machine", machine, "--profile", "release", "-n", "1")
        super().__init__([*WATCH, *named, *options], folder)

    def save(self, text: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)

    def round(self) -> str:
        """Wait for the next verdict; what was printed since the last one."""
        self._rounds += 1
        assert self.said("waiting for a save", self._rounds), self.output.read_text()
        return self.output.read_text().split("waiting for a save")[self._rounds - 1]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        status, _ = self.end()
        return status


WELL = frame_module().path.read_text(encoding="utf-8")
ILL = WELL.replace(*WRONG)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for all tests: where a module lies is part of what is built."""
    return tmp_path_factory.mktemp("watched") / "frame.rs"


@pytest.fixture
def watched(tmp_path: Path, file: Path) -> Iterator[Watched]:
    with Watched(tmp_path, file, write_machine(tmp_path), "-k", WITH_OTHERS) as door:
        yield door


def test_what_a_save_breaks_and_mends_is_told(watched: Watched) -> None:
    first = watched.round()
    made = re.search(r"PASS: (\d+) checks, 2 clauses held", first)
    assert made and "newly" not in first
    n_checks = int(made[1])

    watched.save(ILL)
    ill = watched.round()
    assert "saved frame.rs\n" in ill
    begun = re.search(
        r"of PhysFrame::containing_address, PhysFrame::from_start_address changed; (\d+) checks first", ill
    )
    assert begun and 1 < int(begun[1]) < n_checks
    assert f"newly broken so far (1)\n  {CLAUSE}" in ill and f"after the first {begun[1]} checks" in ill
    assert f"newly broken (1)\n  {CLAUSE}" in ill and "newly held" not in ill
    assert "at        " in ill and "in PhysFrame::containing_address" in ill and "see it again" in ill
    assert ill.splitlines()[-1].startswith(f"FAIL: {n_checks} checks")

    watched.save(ILL + "// a comment\n")
    same = watched.round()
    assert f"still broken (1)  {CLAUSE}" in same and "newly" not in same
    assert "; the same machine code; 1 check first" in same

    watched.save(ILL + "fn broken( {\n")
    rustc = watched.round()
    assert "this file contains an unclosed delimiter" in rustc and "run the same command" not in rustc
    assert f"broken before, not judged this time (1)  {CLAUSE}" in rustc and "newly" not in rustc
    assert rustc.splitlines()[-1].startswith("ERROR: ")

    watched.save(WELL)
    well = watched.round()
    assert f"newly held so far (1)\n  {CLAUSE}" in well
    assert f"newly held (1)\n  {CLAUSE}" in well and "newly broken" not in well
    assert well.splitlines()[-1].startswith(f"PASS: {n_checks} checks")
    assert watched.stop() == ExitCode.PASS
    assert watched.left_behind() == ()


def test_a_save_in_the_middle_starts_over_and_leaves_no_guest(tmp_path: Path, file: Path) -> None:
    with announced(tmp_path) as qemu:
        machine = write_machine(tmp_path, qemu=qemu.program)
        with Watched(tmp_path, file, machine, "-k", TEST) as door:
            qemu.next_pid()
            door.save(ILL)
            told = door.round()
            assert "saved frame.rs; the round that was under way is given up" in told
            assert f"  {CLAUSE}" in told and told.count("FAIL: 8 checks") == 1 and "PASS" not in told
            assert door.stop() == ExitCode.FAIL
            assert door.left_behind() == ()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_guest_outlives_it(tmp_path: Path, file: Path, number: signal.Signals) -> None:
    with announced(tmp_path) as qemu:
        machine = write_machine(tmp_path, qemu=qemu.program)
        with Watched(tmp_path, file, machine, "-k", TEST) as door:
            qemu.next_pid()
            status = door.stop(number)
            assert status == (-number if number is signal.SIGKILL else ExitCode.INTERRUPTED)
            assert door.left_behind() == ()


def test_a_file_that_vanishes_is_waited_for(watched: Watched) -> None:
    assert watched.said("built in")
    watched.file.unlink()
    assert watched.said("frame.rs: gone; waiting for it")
    watched.save(ILL)
    assert CLAUSE in watched.round()
    assert watched.stop() == ExitCode.FAIL


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--frame-rs", "none.rs"), "expected a readable file, got No such file or directory"),
        (("--frame-rs", "f.rs", "--kernel-src", "."), "--frame-rs does not go with --kernel-src"),
        (("--kernel-src", "none"), "kernel tree: none: expected a folder, got nothing"),
        (("-k", "test_nonesuch"), "selection: 'test_nonesuch'"),
        (("-k", "NOPE-01"), "NOPE-01"),
        (("--machine", "none"), "none"),
        (("--baseline", "none.toml"), "none.toml"),
    ],
)
def test_what_makes_no_sense_ends_it_at_once(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    with Door([*WATCH, *options], tmp_path) as door:
        status, out = door.end()
    assert status == ExitCode.USAGE and words in out and "Traceback" not in out


def changed(before: str, after: str, profile: str) -> set[str]:
    old, new = (build(frame_module(kept(text)), profile) for text in (before, after))
    functions = changed_functions(old, new)
    assert functions is not None
    return set(functions)


@pytest.mark.parametrize("profile", ["dev", "release"])
def test_a_change_of_a_function_s_code_is_its_own_and_its_callers_and_a_comment_is_none(profile: str) -> None:
    assert changed(WELL, ILL, profile) == CHANGED
    commented = WELL.replace("    pub fn inc_ref", "    // a comment\n\n    pub fn inc_ref")
    assert commented != WELL and changed(WELL, commented, profile) == set()


def test_a_constant_changes_the_functions_that_hold_it() -> None:
    step = "(count < REFCOUNT_UNUSED - 1).then(|| count + 1)"
    assert changed(WELL, WELL.replace(step, step.replace("+ 1", "+ 2")), "release") == {
        f"{FRAME}::MetaSlot::inc_ref"
    }
