"""The folders of runs that nobody named are bounded; those that the user named are never removed."""

from __future__ import annotations

import errno
import multiprocessing
import sys
from pathlib import Path

import pytest

from frame_harness.archive import files, runs
from frame_harness.archive.folder import Archive
from frame_harness.archive.records import Begun
from frame_harness.base.errors import UsageError
from frame_harness.cli.reporting import Examined, keep
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.evidence import decode
from frame_harness.publishing.run_archive import Contents, archive_of_a_run
from tests.support.judging import judge
from tests.unit.evidence_samples import healthy

CONTENTS = Contents(contract=FRAME_METADATA, evidence=healthy())


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The build folder's runs."""
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path / "build"))
    monkeypatch.delenv(runs.VARIABLE, raising=False)
    return tmp_path / "build" / "runs"


def made() -> Path:
    with archive_of_a_run(None) as archive:
        assert archive is not None
        assert archive.finish(CONTENTS) == ()
    return archive.folder


def test_a_run_is_found_as_the_latest(place: Path) -> None:
    folders = [made(), made()]
    assert len(set(folders)) == 2  # also in the same second
    assert (place / runs.LATEST).resolve() == folders[-1]
    assert {path.name for path in folders[-1].iterdir()} == {
        files.BEGUN, files.HEADER, files.SUMS, "report.html", "report.json", "report.xml",
        "report.txt",
    }  # fmt: skip


def test_the_oldest_runs_are_removed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runs.VARIABLE, "2")
    folders = [made() for _ in range(4)]
    assert {path for path in place.iterdir() if not path.is_symlink()} == set(folders[-2:])


def test_what_is_not_a_run_of_that_folder_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runs.VARIABLE, "1")
    (place / "mine").mkdir(parents=True)
    elsewhere = place.parent / "elsewhere"
    elsewhere.mkdir()
    (place / "2020-01-01T00-00-00").symlink_to(elsewhere)
    made()
    assert (place / "mine").is_dir() and elsewhere.is_dir()


def test_a_run_that_goes_on_is_not_removed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runs.VARIABLE, "1")
    with archive_of_a_run(None) as archive:
        assert archive is not None
        child = multiprocessing.get_context("fork").Process(target=made)
        child.start()
        child.join()
        assert child.exitcode == 0
        assert (archive.folder / files.BEGUN).is_file()
        archive.finish(CONTENTS)


def test_a_folder_that_the_user_names_is_none_of_those_that_are_removed(place: Path) -> None:
    with pytest.raises(UsageError, match="expected a folder outside of"), archive_of_a_run(place / "mine"):
        pass
    assert not place.exists()


def test_nothing_is_kept_where_no_run_is_to_be(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runs.VARIABLE, "0")
    with archive_of_a_run(None) as archive:
        assert archive is None
    assert not place.exists()


@pytest.mark.parametrize("text", ["-1", "many", "1.5", pytest.param("9" * 5000, id="long")])
def test_a_bound_that_is_no_number_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runs.VARIABLE, text)
    with pytest.raises(UsageError, match=f"FRAME_HARNESS_RUNS: {text[:40]}: expected how many"):
        runs.most_kept()


def test_a_run_that_judged_nothing_leaves_no_folder(place: Path) -> None:
    with pytest.raises(UsageError), archive_of_a_run(None):
        raise UsageError("a wrong option")
    assert list(place.iterdir()) == []


def test_what_failing_checks_left_stays_where_the_harness_breaks_down(place: Path) -> None:
    with pytest.raises(AssertionError), archive_of_a_run(None) as archive:
        assert archive is not None
        (archive.folder / files.FAILURES / "1-test_x").mkdir(parents=True)
        raise AssertionError
    [folder] = place.iterdir()
    assert (folder / files.FAILURES / "1-test_x").is_dir()


def test_without_leave_a_run_does_without(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place.parent.mkdir()
    place.write_text("in the way")
    with archive_of_a_run(None) as archive:
        assert archive is None
    assert capsys.readouterr().err.startswith("no evidence is kept: ")


def test_the_command_is_on_record(tmp_path: Path) -> None:
    with archive_of_a_run(tmp_path / "out") as archive:
        assert archive is not None
    begun = decode((tmp_path / "out" / files.BEGUN).read_bytes(), Begun)
    assert begun.command[1:] == tuple(sys.argv[1:])


def test_a_folder_that_another_run_writes_to_is_refused_and_keeps_what_is_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with archive_of_a_run(out) as first:
        assert first is not None
        (out / files.FAILURES / "1-test_x").mkdir(parents=True)
        with pytest.raises(UsageError, match="another run is writing to it"), archive_of_a_run(out):
            pass
        assert (out / files.FAILURES / "1-test_x").is_dir()
        first.finish(CONTENTS)
    with archive_of_a_run(out) as second:
        assert second is not None and not second.is_whole
    assert {path.name for path in out.iterdir()} == {files.BEGUN}


def test_a_lack_of_leave_within_a_run_is_not_told_of_its_folder(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), runs.in_use(tmp_path):
        raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("edited", [False, True])
def test_a_file_that_changed_meanwhile_is_not_kept_as_what_was_judged(tmp_path: Path, edited: bool) -> None:
    path, evidence = tmp_path / "frame.rs", healthy()
    path.write_text("// judged\n")
    subject = frame_module(path)
    if edited:
        path.write_text("// edited\n")
    with archive_of_a_run(tmp_path / "out") as archive:
        keep(Examined(evidence, judge(evidence), EMPTY, subject), archive)
    kept = Archive.open(tmp_path / "out").copies
    assert kept.keys() == (set() if edited else {str(path)})
