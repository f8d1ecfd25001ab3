"""Proves that a command which is shown can be run as it stands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from frame_harness.base.program import PROGRAM, program


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program in a virtualenv that `linked` leads to; the user stands beside both."""
    file = tmp_path / "venv" / "bin" / PROGRAM
    file.parent.mkdir(parents=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    (tmp_path / "linked").symlink_to("venv")
    monkeypatch.chdir(tmp_path)
    return file


@pytest.mark.parametrize("called", ["venv", "linked"])
@pytest.mark.parametrize("on_path", ["venv", "linked"])
def test_what_is_on_the_path_is_called_by_its_name_whatever_leads_there(
    called: str, on_path: str, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = installed.parents[2]
    monkeypatch.setenv("PATH", str(top / on_path / "bin"))
    monkeypatch.setattr(sys, "argv", [str(top / called / "bin" / PROGRAM)])
    assert program() == PROGRAM


@pytest.mark.parametrize("folder", ["venv", "linked"])
def test_what_is_not_on_the_path_is_named_from_here(
    folder: str, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(installed.parents[2] / folder / "bin" / PROGRAM)])
    assert program() == f"{folder}/bin/{PROGRAM}"


@pytest.mark.parametrize(("path", "shown"), [("/nowhere", f"venv/bin/{PROGRAM}"), ("venv/bin", PROGRAM)])
def test_what_a_link_of_another_name_leads_to_is_named_itself(
    path: str, shown: str, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = installed.parents[2]
    (top / "fh").symlink_to(installed)
    monkeypatch.setenv("PATH", str(top / path))
    monkeypatch.setattr(sys, "argv", ["./fh"])
    assert program() == shown
