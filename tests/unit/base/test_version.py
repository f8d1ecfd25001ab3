"""The version of a worker is that of all code that decides about its results."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from frame_harness.base import resources
from frame_harness.base.errors import HarnessError
from frame_harness.base.version import version


def version_with(suite: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(resources, "suite_dir", lambda: suite)
    return version.__wrapped__()


def test_another_suite_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = tmp_path / "suite"
    shutil.copytree(resources.suite_dir(), suite)
    assert version_with(suite, monkeypatch) == version(), "where it lies does not count"
    check = sorted(suite.glob("test_*.py"))[0]
    check.write_text(f"{check.read_text()}# a change\n")
    assert version_with(suite, monkeypatch) != version()


def test_another_machine_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, machines = version(), tmp_path / "qemu"
    shutil.copytree(resources.machines_dir(), machines)
    monkeypatch.setattr(resources, "machines_dir", lambda: machines)
    assert version.__wrapped__() == before, "where they lie does not count"
    with (machines / "q35-5g.toml").open("a") as file:
        file.write("# a change\n")
    assert version.__wrapped__() != before


def test_a_package_without_a_suite_has_a_version_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise HarnessError("installation", "tests/contract", detail="nothing")

    before = version()
    monkeypatch.setattr(resources, "suite_dir", missing)
    assert version.__wrapped__() != before
