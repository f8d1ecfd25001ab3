"""Packs memory for the page's own script: run lengths, compressed, and equal parts only once."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frame_harness.frame_metadata.frame_states import FrameRuns, runs_of
from frame_harness.pictures.frame_map import cell_states
from frame_harness.pictures.moment import Moment, SlotWindow

ROOM = 1_400_000
"""Bytes of packed memory in a page, of which one map takes no more than a part."""
_ROOM_OF_A_MAP = 500_000
_FAST = 6
_COARSEST = 13


@dataclass
class Packed:
    """The memory of all findings of a page.

    A map is stored as what differs from the first map of as many frames, a window of slots likewise: findings
    of one machine share most of their memory.

    Attributes:
        left: bytes that may still be used.
    """

    maps: list[dict[str, Any]] = field(default_factory=list)
    windows: list[dict[str, Any]] = field(default_factory=list)
    left: int = ROOM
    _first_map: dict[tuple[int, int], tuple[int, NDArray[np.uint8]]] = field(default_factory=dict)
    _first_window: dict[tuple[int, int, int], tuple[int, NDArray[np.uint8]]] = field(default_factory=dict)
    _known: dict[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """All of it as JSON's own types."""
        return {"maps": self.maps, "windows": self.windows}

    def add_map(self, runs: FrameRuns) -> int | None:
        """Add the states of all frames; the number of the map, None where there is no room left.

        A map that is too large even so is made coarser: each of its cells stands for several frames then.
        """
        parts = (runs.starts, runs.lengths, runs.states)
        digest = hashlib.sha256(b"".join(one.tobytes() for one in parts)).hexdigest()
        if digest in self._known:
            return self._known[digest]
        for doublings in range(_COARSEST):
            per_cell = 1 << doublings
            states = runs.expanded() if per_cell == 1 else cell_states(runs, per_cell)
            entry = self._map_of(states)
            if len(entry["data"]) <= min(_ROOM_OF_A_MAP, self.left):
                break
        else:
            return None
        key = (len(states), per_cell)
        entry |= {"frames": runs.n_frames, "perCell": per_cell}
        self._first_map.setdefault(key, (len(self.maps), states))
        return self._stored(self.maps, entry, digest)

    def _map_of(self, states: NDArray[np.uint8]) -> dict[str, Any]:
        base = next((one for (cells, _), one in self._first_map.items() if cells == len(states)), None)
        if base is None:
            return {"cells": len(states), "data": _packed_runs(states)}
        number, other = base
        return {"cells": len(states), "base": number, "data": _packed_runs(states ^ other)}

    def add_windows(self, windows: Iterable[SlotWindow]) -> list[int]:
        """Add slots; the numbers of those windows that there was room for."""
        return [number for window in windows if (number := self._add_window(window)) is not None]

    def _add_window(self, window: SlotWindow) -> int | None:
        size = window.slots.dtype.itemsize
        # Byte by byte of all slots: what is alike lies together.
        rows = np.ascontiguousarray(window.slots).view(np.uint8).reshape(len(window.slots), size)
        columns = np.ascontiguousarray(rows.T)
        key = (window.first, len(window.slots), size)
        digest = hashlib.sha256(repr(key).encode() + columns.tobytes()).hexdigest()
        if digest in self._known:
            return self._known[digest]
        base = self._first_window.get(key)
        data = columns if base is None else columns ^ base[1]
        entry: dict[str, Any] = {"first": window.first, "count": len(window.slots), "size": size}
        entry |= {"data": _text(data.tobytes())} | ({} if base is None else {"base": base[0]})
        if len(entry["data"]) > self.left:
            return None
        entry["fields"] = [
            [name.lstrip("_"), offset, kind.itemsize]
            for name, (kind, offset, *_) in (window.slots.dtype.fields or {}).items()
        ]
        self._first_window.setdefault(key, (len(self.windows), columns))
        return self._stored(self.windows, entry, digest)

    def _stored(self, store: list[dict[str, Any]], entry: dict[str, Any], digest: str) -> int:
        store.append(entry)
        self._known[digest] = len(store) - 1
        self.left -= len(entry["data"])
        return len(store) - 1

    def add(self, moment: Moment) -> dict[str, Any] | None:
        """Add a moment; what the page's script needs to find it again."""
        number = self.add_map(moment.runs)
        return None if number is None else {"map": number, "windows": self.add_windows(moment.windows)}


def _packed_runs(states: NDArray[np.uint8]) -> str:
    """Lengths of runs as 32-bit numbers, then a byte for each run's state; deflated, in base64."""
    runs = runs_of(states)
    return _text(runs.lengths.astype("<u4").tobytes() + runs.states.tobytes())


def _text(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, _FAST)).decode("ascii")
