"""What failing checks left travels from one archive into another, and nowhere else."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import msgspec
import pytest

from frame_harness.archive.carried import CarriedFile, add_carried, carried
from frame_harness.archive.files import FAILURES, PART
from frame_harness.base.errors import HarnessError


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An archive with two whole folders, and one of a check that came to no end."""
    place = tmp_path / "here" / FAILURES
    for name in ("1-a", "2-b", f"{PART}3-c"):
        (place / name / "guest-1").mkdir(parents=True)
        (place / name / "failure.json").write_text(name)
        (place / name / "guest-1" / "after.npz").write_bytes(os.urandom(100))
        (place / name / "qemu.sh").write_text("#!/bin/sh\n")
        (place / name / "qemu.sh").chmod(0o755)
    return tmp_path / "here"


def files_in(archive: Path) -> dict[str, tuple[bytes, bool]]:
    place = archive / FAILURES
    return {
        str(path.relative_to(place)): (path.read_bytes(), os.access(path, os.X_OK))
        for path in place.rglob("*")
        if path.is_file()
    }


def test_whole_folders_arrive_as_they_were(here: Path, tmp_path: Path) -> None:
    sent = msgspec.json.encode(carried(here))
    there = tmp_path / "there"
    add_carried(there, msgspec.json.decode(sent, type=tuple[CarriedFile, ...]))
    expected = {name: kept for name, kept in files_in(here).items() if not name.startswith(PART)}
    assert files_in(there) == expected and len(expected) == 6


def test_folders_of_two_runs_lie_beside_each_other(here: Path, tmp_path: Path) -> None:
    add_carried(tmp_path / "there", (one for one in carried(here) if one.name.startswith("1-")))
    add_carried(tmp_path / "there", (one for one in carried(here) if one.name.startswith("2-")))
    assert {name.partition("/")[0] for name in files_in(tmp_path / "there")} == {"1-a", "2-b"}


def test_nothing_was_left_where_no_check_failed(tmp_path: Path) -> None:
    assert carried(tmp_path) == ()


@pytest.mark.parametrize("name", ["../x/y", "/etc/passwd", "1-a/../../x", "alone"])
def test_a_file_that_would_lie_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    file = CarriedFile(name=name, data=zlib.compress(b"x"))
    with pytest.raises(HarnessError, match="expected a file in a folder of a check"):
        add_carried(tmp_path, [file])
    assert list(tmp_path.rglob("*")) == []


def test_a_file_that_was_damaged_on_its_way_is_told(tmp_path: Path) -> None:
    file = CarriedFile(name="1-a/console.log", data=b"x")
    with pytest.raises(HarnessError, match=r"1-a/console\.log: is damaged"):
        add_carried(tmp_path, [file])
    assert not (tmp_path / FAILURES / "1-a").exists(), "no folder under its name that is not whole"
