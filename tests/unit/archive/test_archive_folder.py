"""An archive opens as it was written, and a damaged one is refused in one message."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from frame_harness.archive import files, writing
from frame_harness.archive.files import DamagedArchive, NoArchive
from frame_harness.archive.folder import Archive
from frame_harness.archive.memory import save
from frame_harness.archive.records import FailureRecord, GuestRecord, Header, SentCommand
from frame_harness.base.errors import UsageError
from frame_harness.base.version import version
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge.baseline import Baseline, BaselineEntry
from frame_harness.judge.evidence import Outcome
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.verdict import judge
from tests.support.synthetic import SMALL, healthy_state
from tests.unit.evidence_samples import CLAUSES_LOOKED_AT, DEV, RELEASE, TABLE, healthy, with_outcome

KNOWN = Baseline(entries=(BaselineEntry(id="ALLOC-07", reason="known", profile="dev"),), source="known.toml")
EVIDENCE = with_outcome(healthy(), TABLE, Outcome.VIOLATED, message="stale bytes", frame=0x1000)
HEADER = Header(
    command=("frame-harness", "check"), at="2026-01-02T03:04:05+00:00", contract=FRAME_METADATA.name,
    version=version(), required=CLAUSES_LOOKED_AT, baseline=KNOWN, evidence=EVIDENCE, notes=("a note",),
)  # fmt: skip


def written(folder: Path, header: Header = HEADER) -> Path:
    """An archive with one failure of one guest."""
    writing.begin(folder, header.command)
    failure = writing.FailureWriter(folder, 7, ["test_x[a/b]", "q35", "dev"])
    save(failure.folder / "after.npz", healthy_state(SMALL))
    (failure.folder / "console.log").write_text("  0.001 hello\n", encoding="utf-8")
    guest = GuestRecord(
        argv=("qemu",), commands=(SentCommand(line="alloc new", reply="ok"),), console="console.log",
        after="after.npz", notes=("no `before`: replies differ",),
    )  # fmt: skip
    failure.finish(FailureRecord(run=DEV, check=TABLE, also=("on-the-way::REF-07",), guests=(guest,)))
    source = folder.parent / "frame.rs"
    source.write_text("// text\n", encoding="utf-8")
    sources = writing.add_sources(folder, [source])
    writing.add_image(folder, source, "ab" * 32)
    writing.finish(folder, msgspec.structs.replace(header, sources=sources))
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("kept") / "out")


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(kept, tmp_path / "out")
    # What a sum says of an image is its name's.
    shutil.rmtree(tmp_path / "out" / files.IMAGES)
    sums = tmp_path / "out" / files.SUMS
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if "images/" not in line))
    return tmp_path / "out"


def test_a_copy_without_room_leaves_no_part_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "frame.rs"
    source.write_text("// text\n", encoding="utf-8")

    def full(_: Path, copy: Path) -> NoReturn:
        copy.write_text("// t", encoding="utf-8")
        raise OSError(errno.ENOSPC, "No space left on device", str(copy))

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space"):
        writing.add_sources(tmp_path / "out", [source])
    assert list((tmp_path / "out" / files.SOURCES).iterdir()) == []


def test_an_archive_has_the_evidence_and_the_verdict(folder: Path) -> None:
    archive = Archive.open(folder)
    assert archive.evidence == EVIDENCE
    assert archive.header.notes == ("a note",)
    expected = judge(EVIDENCE, FRAME_METADATA, KNOWN, CLAUSES_LOOKED_AT)
    assert expected.kind is VerdictKind.FAIL
    assert archive.verdict(FRAME_METADATA) == expected


def test_a_failure_has_its_result_and_what_its_guest_left(folder: Path) -> None:
    archive = Archive.open(folder)
    [failure] = archive.failures
    assert failure.folder.name == "7-test_x_a_b_-q35-dev"
    assert failure.result is not None and failure.result.frame == 0x1000
    assert failure.after is not None and failure.after.slots.tobytes() == healthy_state(SMALL).slots.tobytes()
    assert (failure.before, failure.life) == (None, None)
    assert failure.notes == ("no `before`: replies differ",)
    assert failure.console == "  0.001 hello\n"


def test_a_result_leads_to_its_failure(folder: Path) -> None:
    archive = Archive.open(folder)
    [failure] = archive.failures
    of_run = {result.run: result for result in EVIDENCE.checks if result.check == TABLE}
    assert archive.failure_of(of_run[DEV]) is failure
    assert archive.failure_of(of_run[RELEASE]) is None
    other = msgspec.structs.replace(of_run[DEV], check="on-the-way::REF-07")
    assert archive.failure_of(other) is failure
    [finding] = archive.verdict(FRAME_METADATA).findings
    assert archive.failure_of_finding(finding) is failure


def test_a_source_is_found_by_the_path_that_findings_name(kept: Path, folder: Path) -> None:
    archive = Archive.open(folder)
    path = str(kept.parent / "frame.rs")
    copy = archive.source(path)
    assert copy is not None and copy.is_relative_to(folder) and copy.read_text() == "// text\n"
    assert archive.source("/elsewhere.rs") is None


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "evidence": (lambda folder: cut_off(folder / files.HEADER), r"archive\.json: expected JSON, got"),
    "other evidence": (
        lambda folder: (folder / files.HEADER).write_text(
            (folder / files.HEADER).read_text().replace('"violated"', '"passed"')
        ),
        r"archive\.json: expected SHA-256",
    ),
    "no sums": (lambda folder: (folder / files.SUMS).unlink(), r"SHA256SUMS: expected a list of"),
    "sums": (lambda folder: (folder / files.SUMS).write_text("hello\n"), r"SHA256SUMS: expected a list of"),
    "memory": (lambda folder: cut_off(next(folder.glob("*/*/after.npz"))), r"after\.npz: expected SHA-256"),
    "lost file": (
        lambda folder: next(folder.glob("*/*/console.log")).unlink(),
        r"console\.log: expected a r",
    ),
    "other file": (
        lambda folder: (folder / files.FAILURES / "x").write_text(""),
        r"failures/x: expected a file that SHA256SUMS lists, got another one",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_is_refused_with_one_message(folder: Path, name: str) -> None:
    damage, words = DAMAGES[name]
    damage(folder)
    with pytest.raises(DamagedArchive, match=words) as refused:
        Archive.open(folder)
    assert refused.value.summary.startswith("damaged archive: ")
    assert "judge the subject again" in refused.value.next_step


def test_sums_cannot_lead_out_of_the_folder(folder: Path) -> None:
    with (folder / files.SUMS).open("a") as sums:
        sums.write(f"{'0' * 64}  ../../etc/passwd\n")
    with pytest.raises(DamagedArchive, match="names of files in the folder"):
        Archive.open(folder)


def sums_made_again(folder: Path) -> None:
    """As somebody would who wants a folder that he changed to be read."""
    (folder / files.SUMS).write_text(files.written_sums(folder))


def forged(folder: Path, field: str, name: str) -> None:
    """Let the record of a failure name another file, with its sum."""
    [record] = folder.glob(f"*/*/{files.FAILURE}")
    record.write_text(record.read_text().replace(f'"{field}"', f'"{name}"'))
    sums_made_again(folder)


@pytest.mark.parametrize("name", ["../../../secret", "{outside}/secret", "link", "../console.log", "."])
@pytest.mark.parametrize("field", ["console.log", "after.npz"])
def test_a_failure_that_names_a_file_outside_is_refused(folder: Path, field: str, name: str) -> None:
    (folder.parent / "secret").write_text("words that only the host knows")
    if name == "link":
        [failure] = folder.glob("failures/7-*")
        (failure / name).symlink_to(folder.parent / "secret")
    forged(folder, field, name.format(outside=folder.parent))
    with pytest.raises(DamagedArchive, match="expected names of files") as refused:
        assert Archive.open(folder).failures
    assert "judge the subject again" in refused.value.next_step


def test_a_failure_outside_of_the_folder_is_refused(folder: Path) -> None:
    [failure] = folder.glob("failures/7-*")
    failure.rename(folder.parent / "outside")
    failure.symlink_to(folder.parent / "outside")
    sums_made_again(folder)
    with pytest.raises(DamagedArchive, match=r"SHA256SUMS lists, got failures/7-.*/failure\.json"):
        assert Archive.open(folder).failures


@pytest.mark.parametrize("name", ["../frame.rs", "/etc/passwd", "sources/../../frame.rs", ""])
def test_a_source_outside_of_the_folder_is_refused(folder: Path, name: str) -> None:
    header = folder / files.HEADER
    (folder.parent / "frame.rs").write_text("// text\n")
    header.write_text(header.read_text().replace('"sources/frame.rs"', f'"{name}"'))
    sums_made_again(folder)
    with pytest.raises(DamagedArchive, match=r"archive\.json: expected names of files that SHA256SUMS"):
        Archive.open(folder)


@pytest.mark.parametrize("name", [files.SUMS, "failures/pipe"])
def test_a_pipe_in_the_folder_is_refused_and_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    if name != files.SUMS:
        with (folder / files.SUMS).open("a") as sums:
            sums.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(DamagedArchive, match=r"regular file"):
        Archive.open(folder)


@pytest.mark.parametrize("name", [files.HEADER, files.BEGUN, files.SUMS])
def test_what_is_read_ahead_of_the_sums_is_no_link_to_elsewhere(folder: Path, name: str) -> None:
    elsewhere = folder.parent / "elsewhere.json"
    elsewhere.write_text('{"schema": "a word of somebody else"}')
    (folder / files.HEADER).unlink()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(DamagedArchive, match=rf"{name}: expected a regular file, got a link"):
        Archive.open(folder)


def test_a_later_version_s_archive_is_refused_by_its_schema(folder: Path) -> None:
    (folder / files.HEADER).write_text('{"schema": 99, "more": 1}')
    with pytest.raises(NoArchive, match="expected schema 2, got 99"):
        Archive.open(folder)


def test_a_run_that_did_not_end_is_told_from_no_archive(tmp_path: Path) -> None:
    begun = writing.begin(tmp_path / "out", ("frame-harness",))
    with pytest.raises(NoArchive, match=f"one that began {begun.at[:10]}"):
        Archive.open(tmp_path / "out")
    for other in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(NoArchive, match="expected a folder"):
            Archive.open(other)


def test_a_run_replaces_what_an_earlier_one_left(tmp_path: Path) -> None:
    folder = written(tmp_path / "out")
    (folder / "report.html").write_text("old")
    (folder / "mine.txt").write_text("the user's")
    writing.require_room(folder)
    writing.begin(folder, ("frame-harness",))
    assert sorted(path.name for path in folder.iterdir()) == [files.BEGUN, "mine.txt"]


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("the user's")
    with pytest.raises(UsageError, match=r"expected an empty folder, .* got a folder with mine\.txt"):
        writing.require_room(tmp_path)
    with pytest.raises(UsageError, match="expected a folder, got a file"):
        writing.require_room(tmp_path / "mine.txt")
    (tmp_path / "out").mkdir()
    writing.require_room(tmp_path / "out")
    with pytest.raises(UsageError, match="the run itself reads"):
        writing.require_room(tmp_path / "out", [None, tmp_path / "out" / "frame.rs"])


def test_what_a_worker_left_unfinished_is_no_failure(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    writing.begin(folder, ("frame-harness",))
    writing.FailureWriter(folder, 1, ["test_x"])
    writing.finish(folder, HEADER)
    assert Archive.open(folder).failures == ()
    assert list(folder.glob("failures/*")) == []
