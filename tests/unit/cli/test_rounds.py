"""Proves which checks a round makes first, and that nothing to judge is refused in one line."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import click
import pytest

from frame_harness.archive.files import own_files
from frame_harness.base.errors import HarnessError, ImageError, MachineError, ProtocolError, UsageError
from frame_harness.base.report_files import ReportFiles
from frame_harness.cli.check import CheckRequest, check
from frame_harness.cli.core import CoreRequest, check_core
from frame_harness.cli.endings import ending
from frame_harness.cli.mutate import MutateRequest, mutate
from frame_harness.cli.mutate_grounds import CoreGround, FrameGround
from frame_harness.cli.options import refuse_with
from frame_harness.cli.rounds import CoreRounds, FrameRounds, first_of
from frame_harness.cli.upstream import make_room
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.errors import GuestCrashed, QemuEndError
from frame_harness.image.changed_code import path_of
from frame_harness.judge.evidence import CheckInRun
from frame_harness.judge.exit_codes import ExitCode
from tests.unit.evidence_samples import DEV, LIFE, RANGE, RELEASE, TABLE

FRAME = "kernel_shim::memory::frame"
CHECKS = {
    CheckInRun(run=DEV, check=TABLE): frozenset({"FrameAllocOptions::allocate"}),
    CheckInRun(run=RELEASE, check=LIFE): frozenset({"MetaSlot::dec_ref", "MetaSlot::inc_ref"}),
    CheckInRun(run=DEV, check=RANGE): frozenset(),
}


def first(changed: set[str], broken: Collection[CheckInRun] = ()) -> set[str]:
    return {one.check for one in first_of(CHECKS, changed, broken)}


def test_checks_of_a_changed_function_come_first() -> None:
    assert first({f"{FRAME}::MetaSlot::inc_ref"}) == {LIFE}
    assert first({f"{FRAME}::FrameAllocOptions::allocate", f"{FRAME}::fill_table"}) == {TABLE}


def test_a_name_is_not_taken_for_a_part_of_another() -> None:
    assert first({f"{FRAME}::MetaSlot::try_inc_ref", f"{FRAME}::inc_ref"}) == set()


def test_checks_that_were_broken_come_first_where_they_are_still_made() -> None:
    gone = CheckInRun(run=RELEASE, check=RANGE)
    assert first(set(), {CheckInRun(run=DEV, check=RANGE), gone}) == {RANGE}


@pytest.mark.parametrize(
    ("symbol", "path"),
    [
        (f"{FRAME}::MetaSlot::next", f"{FRAME}::MetaSlot::next"),
        (f"<{FRAME}::Range as core::iter::traits::iterator::Iterator>::next", f"{FRAME}::Range::next"),
        (f"{FRAME}::poisoned::{{{{closure}}}}", f"{FRAME}::poisoned"),
    ],
)
def test_a_function_has_the_path_that_a_contract_names(symbol: str, path: str) -> None:
    assert path_of(symbol) == path


def test_every_check_of_the_suite_but_few_names_functions() -> None:
    rounds = FrameRounds(CheckRequest(machines=("microvm",), profile="release"))
    nameless = [check for check, functions in rounds.checks.items() if not functions]
    assert len(nameless) < len(rounds.checks) / 4


def test_a_module_is_watched_with_its_own_modules(tmp_path: Path) -> None:
    file = tmp_path / "frame.rs"
    file.write_text(frame_module().path.read_text())
    place = FrameRounds(
        CheckRequest(frame_rs=file, machines=("microvm",), profile="dev", select="FRAME-01")
    ).place
    assert (place.needed, place.folders) == ((file,), (tmp_path / "frame",))


def test_a_selection_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"selection: 'test_nonesuch'.*got neither"):
        FrameRounds(CheckRequest(machines=("microvm",), profile="dev", select="test_nonesuch"))


def test_a_selection_that_leaves_nothing_of_a_tree_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    folder.mkdir()
    for name in ("zone.rs", "frame.rs", "boot_alloc.rs", "buddy.rs"):
        (folder / name).write_text("")
    with pytest.raises(UsageError, match=r"selection: 'test_nonesuch'.*got neither"):
        CoreRounds(CoreRequest(tmp_path, select="test_nonesuch"))


def test_an_error_of_the_user_s_ends_a_command_with_its_own_status() -> None:
    assert ending(UsageError("machine", "m.toml")) == (ExitCode.USAGE, "error: machine: m.toml")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (GuestCrashed("panic", detail="x"), "`console` has one at its prompt"),
        (QemuEndError("guest gone", detail="x"), "`debug` one under gdb"),
        (ImageError("x.elf", expected="an ELF file", actual="text"), "`make clean`"),
        (ProtocolError("reply", expected="=1", actual="=2"), "report it with these lines"),
        (MachineError("qemu monitor", "stop", detail="x"), "`make doctor`"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_that_says_not_what_to_do_is_told_with_it_once(error: HarnessError, words: str) -> None:
    told = ending(error)[1].splitlines()
    assert words in told[-1] and [line.startswith("next: ") for line in told].count(True) == 1
    error.next_step = "do this"
    assert ending(error)[1].splitlines()[-1] == "next: do this"


def test_options_that_contradict_each_other_are_named() -> None:
    refuse_with("--record", {"--at": "", "--vscode": None})
    with pytest.raises(click.UsageError, match="--at does not go with --record"):
        refuse_with("--record", {"--at": "frame.rs:3"})


def test_texts_for_maintainers_need_a_folder(tmp_path: Path) -> None:
    make_room(tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be used"):
        make_room(tmp_path / "file")


@pytest.mark.parametrize("name", ["failures", "failures/texts", "sources", "SHA256SUMS"])
def test_texts_for_maintainers_lie_apart_from_the_evidence(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="keeps evidence there"):
        make_room(tmp_path / "out" / name, own_files(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    make_room(tmp_path / "out", own_files(tmp_path / "out"))


def test_only_texts_that_a_run_wrote_make_room_for_new_ones(tmp_path: Path) -> None:
    ours = "# A fault\n\nBroken promise (CORE-04): no free block covers it.\n"
    for name, text in (("ADR-01.md", "# We use Rust\n"), ("CORE-04.md", ours), ("CORE-04-2.md", ours)):
        (tmp_path / name).write_text(text)
    make_room(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["ADR-01.md"]


def test_a_file_of_the_user_s_by_the_name_of_a_text_is_refused_and_nothing_goes(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "CORE-04.md", tmp_path / "REF-01.md"
    ours.write_text("# A fault\n\nBroken promise (CORE-04): no free block covers it.\n")
    theirs.write_text("# Our notes about REF-01\n\n- call the kernel's people\n")
    with pytest.raises(UsageError, match=r"got REF-01\.md, which is none"):
        make_room(tmp_path)
    assert ours.exists() and theirs.exists()


@pytest.mark.parametrize(
    "asked",
    [
        lambda file: check_core(CoreRequest(frame_rs=file, files=ReportFiles(html=file))),
        lambda file: check_core(CoreRequest(kernel_src=file.parent, files=ReportFiles(json=file))),
        lambda file: check_core(CoreRequest(last_failed=file, files=ReportFiles(junit=file))),
        lambda file: check(CheckRequest(frame_rs=file, lcov=file)),
        lambda file: check(
            CheckRequest(frame_rs=file.parent.with_suffix(".rs"), files=ReportFiles(html=file))
        ),
        lambda file: mutate(MutateRequest(FrameGround(file, (), "release", None), "", html=file)),
        lambda file: mutate(MutateRequest(FrameGround(None, (str(file),), "dev", None), "", json=file)),
        lambda file: mutate(MutateRequest(CoreGround(file.parent, "release"), "", html=file)),
    ],
    ids=["core", "tree", "last", "module", "its module", "mutants", "machine", "mutants of a tree"],
)
def test_a_report_does_not_overwrite_what_its_run_reads(
    tmp_path: Path, asked: Callable[[Path], object]
) -> None:
    file = tmp_path / "frame" / "links.rs"
    file.parent.mkdir()
    file.write_text("fn f() {}\n")
    with pytest.raises(UsageError, match="the run itself reads that file"):
        asked(file)
    assert file.read_text() == "fn f() {}\n"
