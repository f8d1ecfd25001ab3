"""Proves that a run's archive gets its reports, and that one which fails costs nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frame_harness.archive import files, writing
from frame_harness.archive.folder import Archive
from frame_harness.archive.records import Begun
from frame_harness.base.errors import UsageError
from frame_harness.contract.contract import Contract
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.html_report import shell
from frame_harness.judge.evidence import Outcome
from frame_harness.judge.verdict import Verdict
from frame_harness.publishing import run_archive
from frame_harness.publishing.reports import WRITERS, prepare, write_reports
from frame_harness.publishing.run_archive import ArchivedImage, Contents, RunArchive, named_archive, shown
from tests.unit.evidence_samples import TABLE, healthy, with_outcome

BROKEN = with_outcome(healthy(), TABLE, Outcome.VIOLATED, message="stale bytes", frame=0x1000)


def contents(
    *, source: Path | None = None, image: Path | None = None, notes: tuple[str, ...] = ()
) -> Contents:
    return Contents(
        contract=FRAME_METADATA, evidence=BROKEN, notes=notes, sources=(source,) if source else (),
        images=(ArchivedImage(image, "ab" * 32),) if image else (),
    )  # fmt: skip


def test_each_report_tells_what_the_evidence_shows(tmp_path: Path) -> None:
    with named_archive(tmp_path / "out", ()) as archive:
        assert archive.finish(contents()) == ()
    texts = {name: (tmp_path / "out" / name).read_text(encoding="utf-8") for name in WRITERS}
    assert [name for name, text in texts.items() if "stale bytes" not in text] == []
    assert [one["clause"] for one in json.loads(texts["report.json"])["findings"]] == ["ALLOC-07"]


def test_a_report_that_fails_leaves_no_part_and_the_others_are_written(tmp_path: Path) -> None:
    def refuses(_archive: Archive, _verdict: Verdict, _contract: Contract) -> str:
        raise UsageError("picture", detail="no room for it")

    def breaks(_archive: Archive, _verdict: Verdict, _contract: Contract) -> str:
        raise ZeroDivisionError("a fault of its own")

    def tells(archive: Archive, _verdict: Verdict, _contract: Contract) -> str:
        return archive.evidence.subject.name

    with named_archive(tmp_path / "out", ()) as run:
        run.finish(contents())
    archive = Archive.open(tmp_path / "out")
    (archive.folder / "a").write_text("of the run before")
    wrong = write_reports(archive, FRAME_METADATA, {"a": refuses, "b": breaks, "c": tells})
    assert wrong == (
        "a is not written: picture: no room for it",
        "b is not written: ZeroDivisionError: a fault of its own",
    )
    assert [(archive.folder / name).exists() for name in "abc"] == [False, False, True]
    assert (archive.folder / "c").read_text() == "frame.rs"


def test_a_page_that_cannot_be_prepared_is_told_of_where_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuses() -> None:
        asked.append("templates")
        raise LookupError("no templates")

    monkeypatch.setattr(shell, "environment", refuses)
    prepare()
    assert asked == ["templates"]
    with named_archive(tmp_path / "out", ()) as run:
        wrong = run.finish(contents())
    assert wrong == ("report.html is not written: LookupError: no templates",)


def test_what_could_not_be_kept_is_told_and_the_evidence_is_whole(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with named_archive(tmp_path / "out", ()) as archive:
        notes = archive.finish(
            contents(source=gone / "frame.rs", image=gone / "kernel.elf", notes=("a note",))
        )
    assert notes[0] == "a note" and notes[1].startswith("an image is not kept: ")
    assert archive.is_whole and Archive.open(tmp_path / "out").evidence == BROKEN


def test_evidence_that_cannot_be_written_is_an_error_only_where_the_user_wants_it(tmp_path: Path) -> None:
    for named in (False, True):
        folder = tmp_path / str(named)
        archive = RunArchive(folder, begun(folder), named=named)
        (folder / files.HEADER).mkdir()  # in the place of the evidence
        if named:
            with pytest.raises(OSError, match="directory"):
                archive.finish(contents())
        else:
            first, second = archive.finish(contents(notes=("a note",)))
            assert first == "a note" and second.startswith("the evidence: ")
        assert not archive.is_whole


def begun(folder: Path) -> Begun:
    return writing.begin(folder, ("frame-harness", "check"))


def test_a_folder_is_shown_as_a_shell_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "my runs") == "'my runs'"
    assert shown(tmp_path.parent) == str(tmp_path.parent)


def test_the_command_of_the_run_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["frame-harness", "check", "-k", "x"])
    assert run_archive.command()[1:] == ("check", "-k", "x")
    with named_archive(tmp_path / "out", ()) as run:
        run.finish(contents())
    assert Archive.open(tmp_path / "out").header.command[1:] == ("check", "-k", "x")
