"""A program whose packages cannot be installed works from a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from frame_harness.base.errors import MissingToolError
from frame_harness.base.unpacked_packages import can_unpack, unpack

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb: not a Debian")

# Plans the packages that lie in $REPOSITORY, and copies those that it is told to fetch.
APT_GET = """\
echo "$*" >>"$REPOSITORY/calls"
case "$1" in
install) cat "$REPOSITORY/plan" ;;
download)
    for package; do
        case "$package" in APT::*) ;; *=*) cp "$REPOSITORY/${package%%[:=]*}.deb" . || exit 100 ;; esac
    done ;;
esac
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that a program's package and its library's are fetched from, by an apt-get of its own."""
    folder = tmp_path / "repository"
    folder.mkdir()
    programs = tmp_path / "host bin"
    programs.mkdir()
    apt_get = programs / "apt-get"
    apt_get.write_text(f"#!/bin/sh\n{APT_GET}", encoding="utf-8")
    apt_get.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("REPOSITORY", str(folder))
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    script = '#!/bin/sh\necho "$0: $LD_LIBRARY_PATH: $*"\n'
    make_package(folder, "speaker", "amd64", {"usr/bin/speaker": script})
    make_package(folder, "libspeech1", "amd64", {"lib/x86_64-linux-gnu/libspeech.so.1": ""})
    make_package(folder, "speech-data", "all", {"usr/share/speech/words": "hello\n"})
    (folder / "plan").write_text(
        "The following packages will be REMOVED:\n  speech-utils\nRemv speech-utils [1:10.0~bpo12+1]\n"
        "Inst libspeech1 [0.9] (1.0-1 Debian:12.15/oldstable [amd64])\n"
        "Inst speech-data (1:7.2+dfsg-7 Debian:12.15/oldstable, Security:12/stable [all])\n"
        "Inst speaker (1:7.2+dfsg-7+b3 Debian:12.15/oldstable [amd64])\n"
        "Conf speaker (1:7.2+dfsg-7+b3 Debian:12.15/oldstable [amd64])\n"
    )
    return folder


def make_package(folder: Path, name: str, architecture: str, files: dict[str, str]) -> None:
    root = folder / name
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
        (root / path).chmod(0o755)
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: {architecture}\nMaintainer: t <t@t>\nDescription: t\n"
    )
    subprocess.run(["dpkg-deb", "--build", root, folder / f"{name}.deb"], check=True, capture_output=True)


def unpack_speaker(tmp_path: Path) -> Path:
    programs = tmp_path / "it's here" / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    unpack("speaker", ["speaker"], programs.parent / "speaker", programs, say=None)
    return programs / "speaker"


def test_unpacked_program_finds_its_libraries_and_its_data(repository: Path, tmp_path: Path) -> None:
    launcher = unpack_speaker(tmp_path)
    said = subprocess.run([launcher, "a", "b c"], check=True, capture_output=True, text=True).stdout
    root = launcher.parent.parent / "speaker"
    assert said == f"{root}/usr/bin/speaker.unpacked: {root}/lib/x86_64-linux-gnu: a b c\n"
    assert (root / "usr/share/speech/words").read_text() == "hello\n"
    assert launcher.resolve() == root / "usr/bin/speaker", "its data are found by where the link leads"


def test_fetched_are_the_very_versions_that_apt_plans_to_install(repository: Path, tmp_path: Path) -> None:
    unpack_speaker(tmp_path)
    planned, fetched = (repository / "calls").read_text().splitlines()
    assert planned.split()[:2] == ["install", "-s"]
    assert fetched.split()[-3:] == [
        "libspeech1:amd64=1.0-1", "speech-data=1:7.2+dfsg-7", "speaker:amd64=1:7.2+dfsg-7+b3",
    ]  # fmt: skip


def test_what_was_unpacked_before_is_replaced(repository: Path, tmp_path: Path) -> None:
    launcher = unpack_speaker(tmp_path)
    stale = launcher.parent.parent / "speaker" / "usr" / "bin" / "stale"
    stale.write_text("")
    assert unpack_speaker(tmp_path) == launcher
    assert not stale.exists()
    subprocess.run([launcher], check=True, capture_output=True)


def test_library_path_of_the_user_is_kept_behind(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = unpack_speaker(tmp_path)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/mine")
    said = subprocess.run([launcher], check=True, capture_output=True, text=True).stdout
    assert "/lib/x86_64-linux-gnu:/mine: " in said


def test_package_that_cannot_be_fetched_is_told_and_nothing_is_put_in_place(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "libspeech1.deb").unlink()
    with pytest.raises(MissingToolError, match=r"speaker: .*libspeech1\.deb.*No such file"):
        unpack_speaker(tmp_path)
    assert not list((tmp_path / "it's here").glob("**/speaker"))


def test_packages_without_the_program_are_refused(repository: Path, tmp_path: Path) -> None:
    make_package(repository / "again", "speaker", "amd64", {"usr/bin/other": ""})
    shutil.copy(repository / "again" / "speaker.deb", repository)
    with pytest.raises(MissingToolError, match="expected a program of these packages, got none"):
        unpack_speaker(tmp_path)


def test_host_without_apt_unpacks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_unpack() is (shutil.which("apt-get") is not None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not can_unpack()
