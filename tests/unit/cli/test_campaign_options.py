"""What a campaign showed does not depend on whether its folder can be removed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from frame_harness.cli.campaign_options import CampaignOptions


def test_results_that_cannot_be_removed_are_said_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    said: list[str] = []
    options = CampaignOptions(workers=1)
    settings = options.settings("check", said.append)
    assert settings.folder is not None
    settings.folder.rmdir()
    settings.folder.touch()  # no folder: it cannot be removed as one
    options.forget(settings)
    assert said[-1].startswith("results are not removed: ") and str(settings.folder) in said[-1]
    settings.folder.unlink()
    settings.folder.mkdir()
    options.forget(replace(settings, say=None))
    assert not settings.folder.exists()


def test_commands_that_begin_in_one_second_have_a_folder_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one of them would be told to wait for the other."""
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    folders = {CampaignOptions(workers=1).settings("fuzz", lambda _: None).folder for _ in range(3)}
    assert len(folders) == 3


def test_results_in_a_folder_that_the_user_named_stay(tmp_path: Path) -> None:
    options = CampaignOptions(out=tmp_path)
    options.forget(options.settings("check", lambda _: None))
    assert tmp_path.is_dir()
