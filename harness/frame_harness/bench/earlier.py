"""Keeps the ratios that were measured on this machine before, so that a trend shows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from frame_harness.base import resources
from frame_harness.bench.rows import Row
from frame_harness.image.store import read_json, write_json

KEPT: Final = 4
"""Measurements of each row."""


def place() -> Path:
    """Return the file in which they are kept."""
    return resources.build_dir() / "bench.json"


def earlier() -> dict[str, tuple[float, ...]]:
    """The last ratios by the names of rows, oldest first; a file that is damaged is as good as none."""
    kept = read_json(place())
    if not isinstance(kept, dict):
        return {}
    return {
        name: tuple(float(one) for one in ratios if isinstance(one, int | float))
        for name, ratios in kept.items()
        if isinstance(ratios, list)
    }


def remember(rows: Iterable[Row]) -> None:
    """Add what was measured now; rows that were not measured stay."""
    kept = {name: list(ratios) for name, ratios in earlier().items()}
    for row in rows:
        kept[row.name] = [*kept.get(row.name, []), round(row.ratio, 3)][-KEPT:]
    write_json(place(), kept)
