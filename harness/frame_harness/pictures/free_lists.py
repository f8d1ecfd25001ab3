"""The free lists of each zone by order, before and after, and how fragmented free memory is over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.frame_states import FrameState
from frame_harness.pictures.moment import ZoneLists
from frame_harness.pictures.svg import Picture

_LEFT, _COLUMN, _ROW, _BAR = 168.0, 56.0, 40.0, 20.0
_KINDS = ("unmovable", "movable")
_WIDE, _HIGH = 640.0, 150.0


def svg(before: Sequence[ZoneLists], after: Sequence[ZoneLists], *, title: str) -> str:
    """Draw blocks by zone, kind and order; what changed is framed, with both numbers.

    Args:
        before: empty where it is not known.
    """
    rows = [
        (zone, kind, before[at] if at < len(before) else None)
        for at, zone in enumerate(after)
        for kind in range(2)
        if zone.blocks[kind].any() or (at < len(before) and before[at].blocks[kind].any())
    ]
    orders = after[0].blocks.shape[1] if after else 1
    most = max([1, *(int(zone.blocks[kind].max()) for zone, kind, _ in rows)])
    faults = [f"{zone.name}: {fault}" for zone in after for fault in zone.faults]
    height = 34 + max(len(rows), 1) * _ROW + 18 * len(faults)
    picture = Picture(_LEFT + orders * _COLUMN + 8, height, title=title)
    picture.text(8, 16, "blocks of order", "faint")
    for order in range(orders):
        picture.text(_LEFT + (order + 0.5) * _COLUMN, 16, str(order), "strong", anchor="middle")
    for at, (zone, kind, past) in enumerate(rows):
        y = 26 + at * _ROW
        picture.text(8, y + 24, f"{zone.name} {_KINDS[kind]}")
        _draw_row(picture, y, zone.blocks[kind], None if past is None else past.blocks[kind], most)
    if not rows:
        picture.text(8, 44, "no free block", "faint")
    for at, fault in enumerate(faults):
        picture.text(8, 40 + max(len(rows), 1) * _ROW + at * 18, f"✗ {fault}", "bad", room=picture.width - 16)
    return picture.markup()


def _draw_row(
    picture: Picture, y: float, blocks: NDArray[np.int64], past: NDArray[np.int64] | None, most: int
) -> None:
    for order, count in enumerate(blocks.tolist()):
        x = _LEFT + order * _COLUMN
        earlier = count if past is None else int(past[order])
        height = _BAR * np.log1p(count) / np.log1p(most)
        if count:
            picture.rect(x + 8, y + _ROW - 6 - height, _COLUMN - 16, height, _color(order))
        changed = count != earlier
        words = f"{earlier}→{count}" if changed else str(count)
        picture.text(x + _COLUMN / 2, y + 12, words if count or changed else "·",
                     "strong" if changed else "faint", anchor="middle")  # fmt: skip
        if changed:
            picture.rect(x + 2, y - 2, _COLUMN - 4, _ROW - 2, "ink dashed")


def _color(order: int) -> str:
    return f"state-{FrameState.FREE + min(order, C.max_order)}"


def fragmentation(samples: Sequence[Sequence[int]], *, title: str) -> str:
    """Draw the shares of free memory by order over the commands of a history.

    Args:
        samples: after each step the free frames by order.
    """
    table = np.array(samples, dtype=np.float64)
    total = np.maximum(table.sum(axis=1), 1)
    edges = np.cumsum(table / total[:, None], axis=1)
    picture = Picture(_WIDE + 190, _HIGH + 44, title=title)
    step = _WIDE / max(len(table) - 1, 1)
    below = np.zeros(len(table))
    for order in range(table.shape[1]):
        upper = edges[:, order]
        line = [(48 + at * step, 12 + _HIGH * (1 - share)) for at, share in enumerate(upper.tolist())]
        back = [(48 + at * step, 12 + _HIGH * (1 - share)) for at, share in enumerate(below.tolist())][::-1]
        if table[:, order].any():
            picture.polygon([*line, *back], _color(order), tip=f"free blocks of order {order}")
            at = float(upper[-1] + below[-1]) / 2
            if upper[-1] - below[-1] > 0.08:
                picture.text(56 + _WIDE, 16 + _HIGH * (1 - at), f"order {order}", "faint")
        below = upper
    picture.text(44, 22, "100 %", "faint", anchor="end")
    picture.text(44, 12 + _HIGH, "0", "faint", anchor="end")
    picture.text(48, _HIGH + 32, "before the first command", "faint")
    picture.text(48 + _WIDE, _HIGH + 32, f"after the last of {len(table) - 1}", "faint", anchor="end")
    return picture.markup()
