"""Memory states as `.npz` files: runs of equal slots are kept once, so a million slots take little room."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.errors import HarnessError
from frame_harness.frame_metadata.constants import Constants
from frame_harness.frame_metadata.memory_state import MapRange, MemoryState, MemoryStateError, Zone

_PIECE: Final = 1 << 20
"""Slots that are compared at once."""
_COUNTERS: Final = ("first_pfn", "end_pfn", "managed", "free", "cached", "allocated", "quarantined",
                    "reserved")  # fmt: skip


class DamagedFile(HarnessError):
    """A file of an archive is not what was written."""


class Payload(NamedTuple):
    """The bytes of some frames.

    Args:
        pfns: shape (k,).
        pages: shape (k, 4096), uint8.
    """

    pfns: NDArray[np.int64]
    pages: NDArray[np.uint8]


NO_PAYLOAD: Final = Payload(np.empty(0, np.int64), np.empty((0, 4096), np.uint8))


class SlotRuns(NamedTuple):
    """A slot table as runs of equal slots.

    Args:
        firsts: shape (k,), the pfn that each run begins at, ascending from 0.
        slots: shape (k,), the slot of each run.
        n_frames: slots in all.
    """

    firsts: NDArray[np.int64]
    slots: NDArray[np.void]
    n_frames: int

    def expanded(self) -> NDArray[np.void]:
        """The whole table, shape (n_frames,); a copy."""
        lengths = np.diff(self.firsts, append=self.n_frames)
        return np.repeat(self.slots, lengths)


@dataclass(frozen=True, eq=False)
class Life:
    """The slots of some frames over the commands of a guest.

    Attributes:
        pfns: shape (k,).
        slots: shape (steps + 1, k); row 0 is the state before the first command.
        commands: of each step.
        free_frames: shape (steps + 1, orders), all free frames by the order of their blocks; empty where
            they were not counted.
    """

    pfns: NDArray[np.int64]
    slots: NDArray[np.void]
    commands: tuple[str, ...]
    free_frames: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0), np.int64))


def runs_of(slots: NDArray[Any]) -> SlotRuns:
    """A table, shape (n_frames,), as runs; slots are equal when all of their bytes are."""
    n_frames = len(slots)
    firsts = [np.zeros(min(1, n_frames), np.int64)]
    for begin in range(0, n_frames, _PIECE):
        before = max(0, begin - 1)
        piece = _bytes_of(slots[before : begin + _PIECE])
        changed = (piece[1:] != piece[:-1]).any(axis=1)
        firsts.append(np.flatnonzero(changed) + before + 1)
    places = np.concatenate(firsts).astype(np.int64)
    return SlotRuns(places, slots[places], n_frames)


def _bytes_of(slots: NDArray[Any]) -> NDArray[Any]:
    """A row for each slot, in words where its size allows it."""
    size = slots.dtype.itemsize
    unit = np.uint64 if size % 8 == 0 else np.uint8
    return np.ascontiguousarray(slots).view(unit).reshape(len(slots), -1)


def save(path: Path, state: MemoryState, payload: Payload = NO_PAYLOAD) -> None:
    """Write a state with the bytes of the frames that it is about; its canary is not kept."""
    runs = runs_of(state.slots)
    numbers = [[getattr(zone, name) for name in _COUNTERS] for zone in state.zones]
    shape = (0, 2, state.constants.max_order + 1)
    arrays: dict[str, NDArray[Any]] = {
        "firsts": runs.firsts,
        "slots": runs.slots,
        "n_frames": np.array(runs.n_frames, np.int64),
        "zone_names": np.array([zone.name for zone in state.zones], dtype="U32"),
        "zone_numbers": np.array(numbers, np.int64).reshape(-1, len(_COUNTERS)),
        "zone_heads": np.array([zone.heads for zone in state.zones], np.uint64)
        if numbers
        else np.empty(shape),
        "cached": state.cached,
        "ram": state.ram,
        "off_limits": state.off_limits,
        "map_ends": np.array([(one.first, one.end) for one in state.map], np.int64).reshape(-1, 2),
        "map_kinds": np.array([one.kind for one in state.map], dtype="U16"),
        "constants": np.array(astuple(state.constants), np.uint64),
        "poisoned_while_free": state.poisoned_while_free,
        "payload_pfns": payload.pfns,
        "payload": payload.pages,
    }
    if state.quarantined is not None:
        arrays["quarantined"] = state.quarantined
    _write(path, arrays)


def load(path: Path) -> MemoryState:
    """Read a state back.

    Raises:
        DamagedFile: it is none.
    """
    with _Reading(path) as file:
        names = [str(name) for name in file["zone_names"]]
        numbers, heads = file["zone_numbers"].tolist(), file["zone_heads"]
        zones = tuple(
            Zone(name=name, heads=heads[place], **dict(zip(_COUNTERS, numbers[place], strict=True)))
            for place, name in enumerate(names)
        )
        values = zip(fields(Constants), file["constants"].tolist(), strict=True)
        return MemoryState(
            slots=_runs(file).expanded(),
            zones=zones,
            cached=file["cached"],
            ram=file["ram"],
            off_limits=file["off_limits"],
            constants=Constants(**{one.name: int(value) for one, value in values}),
            poisoned_while_free=file["poisoned_while_free"],
            quarantined=file.get("quarantined"),
            map=tuple(
                MapRange(first, end, str(kind))
                for (first, end), kind in zip(file["map_ends"].tolist(), file["map_kinds"], strict=True)
            ),
        )


def load_payload(path: Path) -> Payload:
    """Read the bytes of the frames that a state is about.

    Raises:
        DamagedFile: it is none.
    """
    with _Reading(path) as file:
        return Payload(file["payload_pfns"], file["payload"])


def save_life(path: Path, life: Life) -> None:
    """Write the life of some frames."""
    arrays = {"pfns": life.pfns, "slots": life.slots, "commands": _as_bytes(life.commands)}
    _write(path, {**arrays, "free_frames": life.free_frames})


def load_life(path: Path) -> Life:
    """Read it back.

    Raises:
        DamagedFile: it is none.
    """
    with _Reading(path) as file:
        text = file["commands"].tobytes().decode("utf-8")
        return Life(file["pfns"], file["slots"], tuple(text.split("\n")) if text else (), file["free_frames"])


def _as_bytes(lines: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer("\n".join(lines).encode(), np.uint8)


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    # In memory first: a file that is there is whole, or was damaged later.
    room = io.BytesIO()
    # The stubs take a keyword for an option of the function.
    np.savez_compressed(room, **arrays)  # type: ignore[arg-type]
    path.write_bytes(room.getvalue())


def _runs(file: Mapping[str, NDArray[Any]]) -> SlotRuns:
    firsts, n_frames = file["firsts"], int(file["n_frames"])
    if len(firsts) and not (firsts[0] == 0 and (np.diff(firsts, append=n_frames) > 0).all()):
        raise ValueError("runs of slots that do not follow each other")
    return SlotRuns(firsts, file["slots"], n_frames)


class _Reading:
    """Reads the arrays of a file; whatever is wrong with it is one error."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Mapping[str, NDArray[Any]]:
        try:
            with np.load(self._path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except _DAMAGE as error:
            raise self._told(error) from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, _DAMAGE):
            raise self._told(error) from error

    def _told(self, error: BaseException) -> DamagedFile:
        said = " ".join(str(error).split()) or type(error).__name__
        todo = "copy the folder again from where it was made"
        return DamagedFile("archive", str(self._path), expected="a memory state", actual=said, next_step=todo)


_DAMAGE: Final = (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, AttributeError,
                  zipfile.BadZipFile, zlib.error, MemoryStateError)  # fmt: skip
