"""Packages are installed where that is allowed, else one line says what a person must type."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from frame_harness.base import packages
from frame_harness.base.packages import MissingPackages

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may install packages: run as root")


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that does what FAKE_APT says; returns the file where it notes how it was called.

    Its lists know any package in version FAKE_OLD, after an update in version FAKE_NEW.
    """
    calls = tmp_path / "calls"
    fake(tmp_path, "apt-get", f'echo "$*" >>{calls}\neval "$FAKE_APT"\n')
    fake(tmp_path, "dpkg-query", "exit 1\n")
    fake(
        tmp_path,
        "apt-cache",
        f"shift\nversion=$FAKE_OLD\ngrep -q ^update {calls} 2>/dev/null && version=$FAKE_NEW\n"
        'for name; do printf "%s:\\n  Installed: (none)\\n  Candidate: %s\\n" "$name" "$version"; done\n',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_OLD", "1.85.0+dfsg3-1~deb12u3")
    monkeypatch.setenv("FAKE_NEW", "1.96.0+dfsg-1~deb12u1")
    monkeypatch.setenv("FAKE_APT", "exit 0")
    return calls


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
    path.chmod(0o755)


def words(calls: Path) -> list[str]:
    """The first word of each call of apt-get."""
    return [call.split()[0] for call in calls.read_text(encoding="utf-8").splitlines()]


@needs_root
def test_installation_leaves_recommended_packages_out(apt: Path) -> None:
    packages.install(["one", "two"], purpose="test")
    (call,) = apt.read_text(encoding="utf-8").splitlines()
    assert call.startswith("install -y")
    assert "--no-install-recommends" in call
    assert call.endswith("one two")


@needs_root
def test_old_package_lists_are_renewed_before_it_fails(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_APT", "echo 'E: Unable to locate package one' >&2; exit 100")
    with pytest.raises(MissingPackages, match="Unable to locate package one") as raised:
        packages.install(["one"], purpose="test")
    assert words(apt) == ["install", "update", "install"]
    assert "next: apt-get install --no-install-recommends one" in str(raised.value)


@needs_root
@pytest.mark.parametrize(
    ("old", "new", "calls"),
    [
        ("1.85.0+dfsg3-1~deb12u3", "1.96.0", ["install"]),
        ("1.63.0+dfsg1-2", "1.85.0+dfsg3-1~deb12u3", ["update", "install"]),
        ("(none)", "1.96.0", ["update", "install"]),
    ],
    ids=["new-enough", "too-old", "unknown"],
)
def test_package_lists_are_renewed_before_anything_too_old_is_installed(
    old: str, new: str, calls: list[str], apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_OLD", old)
    monkeypatch.setenv("FAKE_NEW", new)
    packages.install(["rustc-web"], purpose="test", at_least={"rustc-web": "1.85"})
    assert words(apt) == calls


@needs_root
@pytest.mark.parametrize(
    ("version", "said"),
    [("1.63.0+dfsg1-2", "expected 1.85 or later, got 1.63.0"), ("(none)", "got none in apt's lists")],
    ids=["too-old", "unknown"],
)
def test_package_that_is_too_old_everywhere_is_one_line_and_not_installed(
    version: str, said: str, apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_OLD", version)
    monkeypatch.setenv("FAKE_NEW", version)
    with pytest.raises(MissingPackages) as raised:
        packages.install(["rustc-web"], purpose="test", at_least={"rustc-web": "1.85"})
    assert words(apt) == ["update"]
    assert said in raised.value.summary and "rustc-web" in raised.value.summary
    assert "\n" not in raised.value.summary


@needs_root
def test_installation_that_was_interrupted_is_finished_first(
    apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(apt.parent, "dpkg", f'echo "dpkg $*" >>{apt}\n')
    monkeypatch.setenv(
        "FAKE_APT",
        f"grep -q '^dpkg' {apt} || {{ echo \"E: dpkg was interrupted, you must manually run"
        " 'dpkg --configure -a' to correct the problem. \" >&2; exit 100; }",
    )
    said: list[str] = []
    packages.install(["one"], purpose="test", say=said.append)
    assert words(apt) == ["install", "dpkg", "install"]
    assert "dpkg --configure -a" in said[0]


@needs_root
@pytest.mark.parametrize("installed", [True, False])
def test_package_of_somebody_else_that_is_broken_counts_only_if_ours_are_not_installed(
    installed: bool, apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "FAKE_APT",
        "echo 'dpkg: error processing package bad (--configure):' >&2;"
        "echo 'Errors were encountered while processing:' >&2;"
        "echo 'E: Sub-process /usr/bin/dpkg returned an error code (1)' >&2; exit 100",
    )
    if installed:
        fake(apt.parent, "dpkg-query", "echo installed\n")
        packages.install(["one"], purpose="test")
    else:
        with pytest.raises(MissingPackages, match=r"Sub-process .* error code \(1\), bad"):
            packages.install(["one"], purpose="test")


@needs_root
def test_nothing_is_removed_for_what_is_installed(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "FAKE_APT",
        "[ $1 = update ] && exit;"
        "echo 'The following packages will be REMOVED:\n  cargo rustc\nThe following NEW …';"
        "echo 'E: Packages need to be removed but remove is disabled.' >&2; exit 100",
    )
    with pytest.raises(MissingPackages, match="apt-get refused: it would remove cargo rustc") as raised:
        packages.install(["one"], purpose="test")
    assert "\n" not in raised.value.summary
    assert all(
        "--no-remove" in call
        for call in apt.read_text(encoding="utf-8").splitlines()
        if call.startswith("install")
    )


@needs_root
def test_lists_that_cannot_be_renewed_say_why(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_OLD", "(none)")
    monkeypatch.setenv("FAKE_NEW", "(none)")
    monkeypatch.setenv("FAKE_APT", "echo 'W: Failed to fetch http://x/InRelease  Could not connect' >&2")
    with pytest.raises(MissingPackages, match="Failed to fetch http://x/InRelease  Could not connect"):
        packages.install(["one"], purpose="test")


@needs_root
def test_lists_that_another_apt_renews_are_waited_for(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = apt.parent / "lists" / "lock"
    lock.parent.mkdir()
    monkeypatch.setenv("FAKE_OLD", "(none)")
    monkeypatch.setenv(
        "FAKE_APT",
        f'[ "$1" != update ] || [ -e {lock} ] || {{ echo "E: Could not get lock {lock}. It is'
        ' held by process 1" >&2; exit 100; }',
    )
    packages.install(["one"], purpose="test")
    assert words(apt) == ["update", "update", "install"]


@needs_root
def test_apt_is_run_as_it_expects_whatever_the_users_settings_are(
    apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/no/such/folder")
    monkeypatch.setenv("FAKE_APT", f'echo "$PATH ${{TMPDIR-unset}} $(umask) $LC_ALL" >>{apt}')
    mask = os.umask(0o077)
    try:
        packages.install(["one"], purpose="test")
    finally:
        os.umask(mask)
    call, seen = apt.read_text(encoding="utf-8").splitlines()
    assert "--no-remove" in call
    path, tmpdir, umask, locale = seen.split()
    assert {"/usr/sbin", "/sbin"} <= set(path.split(":"))
    assert (tmpdir, umask, locale) == ("unset", "0022", "C")


def test_machine_without_apt_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not packages.may_install()
    with pytest.raises(MissingPackages, match="no apt-get here") as raised:
        packages.install(["one"], purpose="test")
    assert "\n" not in raised.value.summary
