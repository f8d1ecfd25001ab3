"""Refuses numbers of a case that no guest could be given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final

from frame_harness.base.errors import UsageError
from frame_harness.memory_core.maps import (
    ADDRESS_SPACE,
    MAX_PROTECTED,
    MAX_REGIONS,
    Islands,
    MapRegion,
    Protected,
)
from frame_harness.memory_core.state import LARGEST_BYTE_ORDER

STORM_CPUS: Final = 3
"""CPUs of the guests that storms are played on."""
_TODO: Final = "change that number, or copy the case from a report as it is"
_WORD: Final = ADDRESS_SPACE - 1
_MOST_TURNS: Final = 100_000
"""Requests of a storm that are done long before its time is used up, which would be taken for a hang."""
_BOUNDS: Final = {
    "base": (0, _WORD), "size": (0, _WORD), "end": (0, _WORD), "seed": (0, _WORD), "cap": (0, _WORD),
    "count": (0, MAX_REGIONS), "frames": (0, _WORD), "order": (0, LARGEST_BYTE_ORDER),
    "cpus": (1, STORM_CPUS), "turns": (0, _MOST_TURNS), "cpu": (0, STORM_CPUS - 1),
}  # fmt: skip
"""By the name of a number the least and the most that the shim's requests, or its maps, can carry."""


def require_bounds(steps: Iterable[Any]) -> None:
    """Refuse a case with a number that does not fit, or with more regions than there is room for.

    Nothing of its map is made before: a number of islands may be any.

    Raises:
        UsageError: says which.
    """
    steps = tuple(steps)
    for step in steps:
        for name in (one.name for one in fields(step) if one.name in _BOUNDS):
            least, most = _BOUNDS[name]
            if not least <= getattr(step, name) <= most:
                limits = f"{least} to {most:#x}" if most == _WORD else f"{least} to {most}"
                raise _refused(str(step), f"{name} from {limits}", getattr(step, name))
        if isinstance(step, Islands | Protected) and _end_of(step) > ADDRESS_SPACE:
            raise _refused(str(step), f"an end of at most {ADDRESS_SPACE:#x}", f"{_end_of(step):#x}")
    regions = sum(step.count if isinstance(step, Islands) else isinstance(step, MapRegion) for step in steps)
    protected = sum(isinstance(step, Protected) for step in steps)
    for what, count, most in (
        ("regions", regions, MAX_REGIONS), ("protected ranges", protected, MAX_PROTECTED),
    ):  # fmt: skip
        if count > most:
            raise _refused(what, f"at most {most}", count)


def _end_of(step: Islands | Protected) -> int:
    return step.end if isinstance(step, Protected) else step.base + step.count * step.stride


def _refused(what: str, expected: str, actual: object) -> UsageError:
    return UsageError("case", what, expected=expected, actual=actual, next_step=_TODO)
