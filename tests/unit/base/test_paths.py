"""Proves that paths are taken as users write them, whatever they lead to."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.base.paths import at_home, real
from frame_harness.base.resources import build_place
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.errors import SubjectError


def test_links_are_followed_and_a_circle_of_links_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "circle").symlink_to("circle")
    assert real(tmp_path / "link") == real(tmp_path) / "file"
    assert real(tmp_path / "circle") == real(tmp_path) / "circle"


def test_home_of_a_user_that_nobody_knows_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert at_home("~/frame.rs") == Path("/somewhere/frame.rs")
    assert at_home("~nobody-of-this-name/frame.rs") == Path("~nobody-of-this-name/frame.rs")


@pytest.mark.parametrize("name", ["a\\b.rs", "a\n.rs", "a\udcff.rs"])
def test_module_whose_path_a_tool_would_read_otherwise_is_refused(name: str, tmp_path: Path) -> None:
    """With a backslash in its path none of its lines was known: coverage was 0 %, no finding named a line."""
    (tmp_path / name).write_text("")
    with pytest.raises(SubjectError, match="without control characters and backslashes"):
        frame_module(tmp_path / name)


@pytest.mark.parametrize("name", ["circle", "~nobody-of-this-name/frame.rs", "x" * 300])
def test_module_and_build_folder_that_lead_nowhere_are_told_as_such(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(SubjectError, match="expected a readable file"):
        frame_module(name)
    monkeypatch.setenv("FRAME_HARNESS_CACHE", name)
    assert build_place() == real(tmp_path / name)
