"""`judge` and `show` open an archive with nothing else at hand."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace
from rich.console import Console

from frame_harness.archive import files, writing
from frame_harness.archive.folder import Archive
from frame_harness.archive.memory import Life, Payload, save, save_life
from frame_harness.archive.records import FailureRecord, GuestRecord, SentCommand
from frame_harness.base.units import Paddr
from frame_harness.base.version import version
from frame_harness.cli.main import cli
from frame_harness.cli.reporting import show as print_again
from frame_harness.cli.show import entries_of, show
from frame_harness.cli.show_text import entry_parts
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.evidence import Outcome, encode
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.judge.verdict import judge
from frame_harness.publishing.run_archive import Contents, archive_of_a_run
from frame_harness.report.terminal import console_for, print_parts
from tests.support.synthetic import SMALL, healthy_state
from tests.unit.evidence_samples import DEV, LIFE, TABLE, healthy, with_outcome

BROKEN = with_outcome(
    healthy(), TABLE, Outcome.VIOLATED, message="stale bytes", expected="0", got="7", frame=0x5000
)
CRASHED = with_outcome(BROKEN, LIFE, Outcome.CRASHED, DEV, message="panic: no slot")


def told(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def fill(folder: Path) -> None:
    """Write a failure with memory, and one of a guest that never came to its prompt."""
    failure = writing.FailureWriter(folder, 3, ["test_table", "q35", "dev"])
    after = healthy_state(SMALL)
    before = after.copied()
    before.slots["refcount"][5] = 99
    save(failure.folder / "before.npz", before)
    save(failure.folder / "after.npz", after, Payload(np.array([5]), np.zeros((1, 4096), np.uint8)))
    pfns = np.array([5])
    rows = np.array([before.slots[pfns], before.slots[pfns], after.slots[pfns]])
    save_life(failure.folder / "life.npz", Life(pfns, rows, ("old → ok", "slot.inc_ref 0x5000 → ok")))
    (failure.folder / "console.log").write_text("    0.001000  # hello\n")
    (failure.folder / "qemu.sh").write_text("true\n")
    guest = GuestRecord(
        argv=("qemu",), script="qemu.sh", commands_of_others=1, console="console.log", before="before.npz",
        after="after.npz", life="life.npz", frames=(Paddr(0x5000),), changed_by="slot.inc_ref 0x5000",
        registers=("CPU#0", "RIP=ffffffff80001234", "XMM00=0"),
        commands=(SentCommand(line="old", reply="ok"), SentCommand(line="slot.inc_ref 0x5000", at_s=0.25)),
    )  # fmt: skip
    failure.finish(FailureRecord(run=DEV, check=TABLE, guests=(guest,)))
    other = writing.FailureWriter(folder, 4, ["test_life", "q35", "dev"])
    other.finish(FailureRecord(run=DEV, check=LIFE, notes=("no memory: it crashed at boot",)))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "the run"
    source = folder.parent / "frame.rs"
    source.write_text("// text\n")
    with archive_of_a_run(folder) as archive:
        assert archive is not None
        fill(folder)
        contents = Contents(contract=FRAME_METADATA, evidence=CRASHED, sources=(source,), notes=("a note",))
        assert archive.finish(contents) == ("a note",)
    source.unlink()
    return folder


def test_the_page_of_an_archive_has_pictures_of_what_its_guests_left(kept: Path) -> None:
    page = (kept / "report.html").read_text(encoding="utf-8")
    assert "<title>life of frame 0x5</title>" in page
    assert "slot.inc_ref 0x5000</text>" in page
    assert page.count('role="application"') == 1
    assert "# hello" in page
    assert "no memory: it crashed at boot" in page


def test_judge_prints_the_report_of_the_run_and_ends_with_its_status(kept: Path) -> None:
    run = told("judge", kept)
    verdict = judge(CRASHED, FRAME_METADATA)
    assert run.exit_code == ExitCode.CRASH
    assert run.output == (kept / "report.txt").read_text()
    assert run.output.splitlines()[-1].startswith(f"{verdict.kind}: ")


@pytest.mark.parametrize(
    ("evidence", "status"),
    [(healthy(), ExitCode.PASS), (BROKEN, ExitCode.FAIL), (replace(healthy(), interrupted=True), 130)],
    ids=["pass", "fail", "interrupted"],
)
def test_the_status_is_that_of_the_run(
    evidence: object, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with archive_of_a_run(tmp_path / "out") as archive:
        assert archive is not None
        archive.finish(Contents(contract=FRAME_METADATA, evidence=evidence))  # type: ignore[arg-type]
    run = told("judge", tmp_path / "out")
    print_again(evidence, judge(evidence, FRAME_METADATA), EMPTY, console_for(), FRAME_METADATA)  # type: ignore[arg-type]
    assert (run.exit_code, run.output) == (status, capsys.readouterr().out)


def test_judge_says_that_the_run_was_judged_by_another_version(kept: Path, tmp_path: Path) -> None:
    """Its contract may be another one, and the verdict with it."""
    copy = shutil.copytree(kept, tmp_path / "elsewhere")
    header = Archive.open(copy).header
    assert header.version == version()
    (copy / files.HEADER).write_text(encode(replace(header, version="0.0.9")))
    (copy / files.SUMS).write_text(files.written_sums(copy))
    run = told("judge", copy)
    assert run.stderr.startswith(f"note: the run was judged by frame-harness 0.0.9, this is {version()}")
    assert run.stdout == told("judge", kept).stdout and not told("judge", kept).stderr


def test_an_archive_may_lie_anywhere(kept: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(kept, tmp_path / "elsewhere")
    assert told("judge", copy).output == told("judge", kept).output
    assert told("judge", copy, "more").exit_code == ExitCode.USAGE


def test_show_lists_what_was_found(kept: Path) -> None:
    run = told("show", kept)
    assert run.exit_code == ExitCode.PASS
    lines = run.output.splitlines()
    assert lines[0].split()[:2] == ["1", "ALLOC-07"] and lines[0].endswith("commands, console, memory, life")
    assert lines[1].split()[:2] == ["2", "CRASHED"]
    assert "not kept: a note" in lines and lines[-1].startswith("CRASH: ")


def test_show_tells_all_of_a_finding(kept: Path) -> None:
    run = told("show", kept, "1")
    assert run.exit_code == ExitCode.PASS, run.output
    for words in (
        "ALLOC-07", "stale bytes", f"{TABLE} on {DEV}", "3-test_table-q35-dev/qemu.sh",
        "RIP=ffffffff80001234", "0.250000 s  slot.inc_ref 0x5000 → no reply", "0.001000  # hello",
        "1 command before these",
        "before `slot.inc_ref 0x5000` where that changed them", "frame 0x5000", "was 0x63",
        "0x5000.refcount 0x63 → ",
    ):  # fmt: skip
        assert words in run.output, words
    again = next(line.split() for line in run.output.splitlines() if line.startswith("  again "))
    assert again[1:3] == ["sh", f"'{kept.parent}/the"], "it can be copied"
    assert "XMM00" not in run.output and "old → ok" not in run.output


@pytest.mark.parametrize("check", [TABLE, "test_simpler"])
def test_what_the_guest_of_another_check_left_is_told_as_such(check: str, kept: Path) -> None:
    archive = Archive.open(kept)
    first, *_ = entries_of(archive, archive.verdict(FRAME_METADATA))
    shown = dataclasses.replace(first, result=replace(first.result, check=check))
    out = io.StringIO()
    print_parts(entry_parts(shown, archive), Console(file=out, width=200))
    assert f"check   {TABLE} on {DEV}" in out.getvalue()
    assert ("another one that shows it" in out.getvalue()) is (check != TABLE)


def test_show_tells_of_a_guest_that_left_little(kept: Path) -> None:
    run = told("show", kept, "2")
    assert "panic: no slot" in run.output and "no memory: it crashed at boot" in run.output


def test_show_without_a_folder_shows_the_last_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    with archive_of_a_run(None) as archive:
        assert archive is not None
        archive.finish(Contents(contract=FRAME_METADATA, evidence=BROKEN))
    assert told("show").output.splitlines()[0].split()[:2] == ["1", "ALLOC-07"]
    assert "no guest of it was at hand" in told("show", "1").output


def test_show_at_a_terminal_asks_for_one_after_the_other(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, asked = iter(["1", "7", "2", "q"]), list[str]()

    def answer(text: str, default: str) -> str:
        asked.append(default)
        return next(answers)

    monkeypatch.setattr("click.prompt", answer)
    terminal = Console(file=sys.stdout, force_terminal=True, width=100, markup=False, highlight=False)
    monkeypatch.setattr("frame_harness.cli.show.console_for", lambda: terminal)
    monkeypatch.setenv("PAGER", "cat")
    assert show(kept, None) == ExitCode.PASS
    out = capsys.readouterr().out
    assert asked == ["1", "2", "2", "1"]  # what Enter would show
    assert out.index("stale bytes") < out.index("expected a number from 1 to 2") < out.index("panic: no slot")


@pytest.mark.parametrize(
    ("less", "has_colors"),
    [("", True), ("-R", True), ("FRX", True), ("--RAW-CONTROL-CHARS", True), ("-i", False), ("-F -X", False)],
)
def test_the_pager_gets_colors_where_it_shows_them_as_such(
    less: str, has_colors: bool, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`less` without -R shows the codes of colors as text."""
    monkeypatch.setenv("LESS", less)
    if not less:
        monkeypatch.delenv("LESS")
    answers, paged = iter(["1", "q"]), list[tuple[str, str]]()
    monkeypatch.setattr("click.prompt", lambda *_, **__: next(answers))
    monkeypatch.setattr("pydoc.pager", lambda text: paged.append((os.environ["LESS"], text)))
    terminal = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=100)
    monkeypatch.setattr("frame_harness.cli.show.console_for", lambda: terminal)
    show(kept, None)
    [(given, text)] = paged
    assert given == (less or "-R") and ("\x1b[" in text) is has_colors


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_show_at_a_terminal_ends_well_with_ctrl_d_alone(
    end: type[BaseException], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_answer(_: str) -> NoReturn:
        raise end

    monkeypatch.setattr("click.termui.visible_prompt_func", no_answer)
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr("frame_harness.cli.show.console_for", lambda: terminal)
    if end is EOFError:
        assert show(kept, None) == ExitCode.PASS
    else:
        with pytest.raises(click.Abort):
            show(kept, None)


def test_show_refuses_a_number_that_is_none(kept: Path) -> None:
    for number in ("0", "3"):
        run = CliRunner().invoke(cli, ["show", str(kept), number])
        assert "expected a number from 1 to 2" in str(run.exception)


def test_show_takes_no_number_for_a_folder(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kept.parent)
    run = told("show", "1", "2")
    assert run.exit_code == ExitCode.USAGE and "got two numbers; there is no folder 1" in run.output
    kept.rename(kept.parent / "1")
    assert told("show", "1", "2").exit_code == ExitCode.PASS


def test_a_contract_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with archive_of_a_run(tmp_path / "out") as archive:
        assert archive is not None
        archive.finish(Contents(contract=FRAME_METADATA, evidence=healthy()))
    header = tmp_path / "out" / files.HEADER
    header.write_text(header.read_text().replace(FRAME_METADATA.name, "another"))
    (tmp_path / "out" / files.SUMS).write_text(files.written_sums(tmp_path / "out"))
    run = told("judge", tmp_path / "out")
    assert "expected a contract of frame metadata or memory core, got another" in str(run.exception)


def test_check_refuses_a_folder_of_other_files_before_it_builds(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    run = told("check", "--out", tmp_path)
    assert "expected an empty folder, or an archive" in str(run.exception)
    run = told("check", "--core", "--out", tmp_path / "mine.txt")
    assert run.exit_code == ExitCode.USAGE
