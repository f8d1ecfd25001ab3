"""Ratios that were measured before are kept, so that a trend shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.bench import earlier
from frame_harness.bench.rows import Row


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "bench.json"
    monkeypatch.setattr(earlier, "place", lambda: place)
    return place


def row(name: str, ratio: float) -> Row:
    return Row(name, ratio, "its floor", 1.0, "ms", ratio)


def test_the_last_ratios_are_kept_oldest_first() -> None:
    for number in range(earlier.KEPT + 2):
        earlier.remember([row("boot", number)])
    assert earlier.earlier() == {"boot": tuple(range(2, earlier.KEPT + 2))}


def test_rows_that_were_not_measured_again_stay() -> None:
    earlier.remember([row("boot", 2.0), row("storm", 3.0)])
    earlier.remember([row("boot", 4.0)])
    assert earlier.earlier() == {"boot": (2.0, 4.0), "storm": (3.0,)}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"boot": 1}', '{"boot": ["x"]}'])
def test_a_damaged_file_is_as_good_as_none(kept: Path, text: str) -> None:
    kept.write_text(text)
    assert not any(earlier.earlier().values())
    earlier.remember([row("boot", 2.0)])
    assert earlier.earlier() == {"boot": (2.0,)}
