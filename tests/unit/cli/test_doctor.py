"""The doctor names what was found, what is missing, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.base import own_programs
from frame_harness.cli import doctor


def test_report_covers_everything_a_run_needs() -> None:
    lines = {line.name: line for line in doctor.examine()}
    assert {
        "python",
        "packages",
        "qemu",
        "firmware",
        "rust",
        "cargo",
        "linker",
        "accelerator",
        "memory",
        "cpus",
    } <= set(lines)
    assert "rustc 1." in lines["rust"].found
    assert "tcg" in lines["accelerator"].found


def test_settings_of_cargo_that_a_build_does_not_obey_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARGO_HOME", str(tmp_path))
    (tmp_path / "config.toml").write_text("[http]\n[profile.dev]\n[build]\n[alias]\n", encoding="utf-8")
    found = next(line.found for line in doctor.examine() if line.name == "cargo")
    assert f"uses http; ignores build, profile of {tmp_path / 'config.toml'}" in found.splitlines()


def test_machine_without_tools_is_told_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(own_programs, "OWN_PROGRAMS", tmp_path)
    monkeypatch.setenv("FRAME_HARNESS_TOOLCHAIN", "installed-target")
    monkeypatch.setattr("sys.argv", ["doctor"])
    assert doctor.main() == 1
    report = capsys.readouterr().out
    for name in ("qemu", "rust", "linker"):
        assert any(line.startswith(name) and "MISSING" in line for line in report.splitlines())
    assert "next: apt-get install gcc libc6-dev" in report
    assert report.rstrip().endswith("missing")
