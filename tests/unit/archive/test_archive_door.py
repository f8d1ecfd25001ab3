"""pytest with `--out` leaves an archive; what it judges is what it saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.archive.folder import Archive, FailureFolder
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.judge.exit_codes import VerdictKind
from tests.support.doors import open_pytest

TESTS = """
import pytest


@pytest.mark.clause("ALLOC-09")
def test_passes(kernel):
    kernel.alloc()


@pytest.mark.clause("ALLOC-09")
def test_fails(kernel):
    paddr = kernel.alloc(purpose="user")
    assert kernel.slot(paddr).get_refcount() == 2


@pytest.mark.clause("REF-01")
def test_fails_in_a_shared_guest(shared_kernel):
    shared_kernel.alloc()
    assert not shared_kernel.stats()


def test_of_no_clause_fails(kernel):
    assert not kernel.alloc()


@pytest.mark.clause("REF-01")
def test_crashes(kernel):
    kernel.call("onpanic halt")
    kernel.call("crash panic")


@pytest.mark.skip(reason="not today")
@pytest.mark.clause("REF-01")
def test_skipped(kernel):
    pass
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("door")
    options = ("--machine", "microvm", "--profile", "release", "--out", folder / "out", "-p", "no:xdist")
    with open_pytest(folder, TESTS, *options, evidence=False) as door:
        status, out = door.end()
        assert status == 1 and "4 failed" in out, out
        assert "not kept" not in out
        assert door.left_behind() == ()
    return folder / "out"


@pytest.fixture(scope="module")
def failures(folder: Path) -> dict[str, FailureFolder]:
    return {one.record.check.rpartition("::")[2]: one for one in Archive.open(folder).failures}


def test_every_failing_test_left_what_its_guest_had(failures: dict[str, FailureFolder]) -> None:
    assert set(failures) == {
        "test_fails", "test_fails_in_a_shared_guest", "test_of_no_clause_fails", "test_crashes"
    }  # fmt: skip
    for failure in failures.values():
        assert failure.before is not None and failure.after is not None, failure.notes
        assert failure.console and (failure.folder / "qemu.sh").is_file()
    assert failures["test_fails"].guests[0].commands[0].line == "alloc new purpose=user"
    assert failures["test_of_no_clause_fails"].result is None


def test_the_verdict_is_on_the_tests_that_name_a_clause(folder: Path) -> None:
    archive = Archive.open(folder)
    verdict = archive.verdict(FRAME_METADATA)
    assert verdict.kind is VerdictKind.CRASH
    assert {finding.clause for finding in verdict.findings} == {"ALLOC-09", "REF-01"}
    assert len(archive.evidence.checks) == 5
    assert (folder / "report.txt").read_text().splitlines()[-1].startswith("CRASH: ")
    assert [one.file for one in archive.header.sources] == ["sources/frame.rs"]


def test_a_folder_of_other_files_is_a_wrong_option(tmp_path: Path) -> None:
    with open_pytest(tmp_path, TESTS, "--out", tmp_path, evidence=False) as door:
        status, out = door.end()
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "--out: " in out and "expected an empty folder" in out and "Traceback" not in out
