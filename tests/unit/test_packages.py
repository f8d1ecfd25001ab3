"""Packages are installed where that is allowed, else one line says what a person must type."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import packages
from harness.packages import MissingPackages

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may install packages: run as root")


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that does what FAKE_APT says; returns the file where it notes how it was called."""
    calls = tmp_path / "calls"
    script = tmp_path / "apt-get"
    script.write_text(f'#!/bin/sh\necho "$*" >>{calls}\neval "$FAKE_APT"\n', encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return calls


@needs_root
def test_installation_leaves_recommended_packages_out(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_APT", "exit 0")
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
    assert [call.split()[0] for call in apt.read_text(encoding="utf-8").splitlines()] == [
        "install", "update", "install",
    ]  # fmt: skip
    assert "next: apt-get install --no-install-recommends one" in str(raised.value)


def test_machine_without_apt_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not packages.may_install()
    with pytest.raises(MissingPackages, match="no apt-get here") as raised:
        packages.install(["one"], purpose="test")
    assert "\n" not in raised.value.summary
