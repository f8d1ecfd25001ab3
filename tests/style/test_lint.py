"""Proves that a linter which is missing is a note at home, and a failure in CI."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from frame_harness.base.commands import run
from tests.style import lint


def cargo_with(tools: str, folder: Path) -> Path:
    """A cargo that has these tools, and finds nothing wrong."""
    cargo = folder / "cargo"
    cargo.write_text(f'#!/bin/sh\ncase "$1" in ({tools}) exit 0;; esac\nexit 101\n')
    cargo.chmod(0o755)
    return cargo


def status_with(tools: str, folder: Path, patch: pytest.MonkeyPatch, *, ci: str, choice: str = "fake") -> int:
    """The exit status of the linters on a host whose toolchain has some of the tools, and no rustup."""
    cargo = cargo_with(tools, folder)
    patch.setattr(lint, "find_toolchain", lambda **_: SimpleNamespace(cargo=cargo, choice=choice))
    patch.setattr(lint, "target_dir_of", lambda _: folder)
    patch.setattr(lint, "_python", lambda: iter(()))
    patch.setattr(lint, "run", lambda argv, **options: run(without_rustup(argv), **options))
    patch.setenv("CI", ci)
    return lint.main()


def without_rustup(argv: list[str | Path]) -> list[str | Path]:
    return ["false"] if argv[0] == "rustup" else argv


@pytest.mark.parametrize(
    ("tools", "named"), [("fmt", "clippy"), ("clippy", "rustfmt"), ("none", "clippy rustfmt")]
)
def test_a_missing_linter_fails_in_ci_with_one_message(
    tools: str,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status_with(tools, tmp_path, monkeypatch, ci="true") == 1
    [line] = capsys.readouterr().out.splitlines()
    assert line.endswith(f"rustup component add {named}")


@pytest.mark.parametrize(("ci", "choice"), [("", "fake"), ("true", "debian")])
@pytest.mark.parametrize("tools", ["fmt", "clippy", "none"])
def test_a_missing_linter_is_a_note_outside_of_ci_and_with_debian_s_toolchain(
    tools: str,
    ci: str,
    choice: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    monkeypatch.setattr(lint, "SAY", said.append)
    assert status_with(tools, tmp_path, monkeypatch, ci=ci, choice=choice) == 0
    assert capsys.readouterr().out == ""
    assert sum("not in this toolchain" in line for line in said) == 1


def test_with_all_linters_ci_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert status_with("clippy|fmt", tmp_path, monkeypatch, ci="true") == 0


def test_a_linter_that_disagrees_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "_rust", lambda *_: iter([("wrong", ["false"])]))
    assert status_with("clippy|fmt", tmp_path, monkeypatch, ci="") == 1
