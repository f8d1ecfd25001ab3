"""Proves which files pytest takes for scripts, and on what each is played."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.steering import collecting
from frame_harness.steering.collecting import ScriptFile

HEAD = "# frame-harness script 1\n"


def collected(path: Path, request: pytest.FixtureRequest, **options: Any) -> list[str]:
    """The names of the items that a file becomes."""
    file = collecting.pytest_collect_file(path, request.session)
    assert isinstance(file, ScriptFile)
    told = {"--machine": None, "--profile": None} | {f"--{name}": value for name, value in options.items()}
    file.config = SimpleNamespace(getoption=told.__getitem__, stash={})  # type: ignore[assignment]
    return [item.name for item in file.collect()]


@pytest.mark.parametrize(
    ("name", "content"),
    [("notes.txt", b"a text\n"), ("x.txt", b"\xff\xfe"), ("empty.txt", b""), ("script.md", HEAD.encode())],
)
def test_another_file_is_none_of_ours(
    name: str, content: bytes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert collecting.pytest_collect_file(path, request.session) is None


def test_a_folder_with_the_name_of_a_script_is_none(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (tmp_path / "scripts.txt").mkdir()
    assert collecting.pytest_collect_file(tmp_path / "scripts.txt", request.session) is None


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["as-saved"]),
        ({"profile": "dev"}, ["dev"]),
        ({"machine": ["q35", "pc"], "profile": "both"}, ["q35-dev", "q35-release", "pc-dev", "pc-release"]),
    ],
)
def test_a_script_is_played_once_on_each_machine_and_build_that_is_named(
    options: dict[str, Any], names: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "found.txt"
    path.write_text(HEAD, encoding="utf-8")
    assert collected(path, request, **options) == names


def test_guests_end_with_the_session_where_there_were_any() -> None:
    closed: list[bool] = []
    player = SimpleNamespace(close=lambda: closed.append(True))
    for stash in ({}, {collecting.REPLAYER: player}):
        collecting.pytest_unconfigure(SimpleNamespace(stash=stash))  # type: ignore[arg-type]
    assert closed == [True]
