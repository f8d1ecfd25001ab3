"""Judges what the bump of a generation publishes (GEN-04)."""

from __future__ import annotations

from collections.abc import Iterator

from frame_harness.frame_metadata.orderings.new_life import missing_part
from frame_harness.frame_metadata.orderings.table import NEW_EPOCH
from frame_harness.orderings.events import Function, Path
from frame_harness.orderings.report import Compiled, OrderingScene, OrderingViolation
from frame_harness.orderings.rules import violation_at

RESET = ("vtable", "guard")
"""The fields that a new epoch resets (GUARD-05)."""


def violations(compiled: Compiled) -> Iterator[OrderingViolation]:
    """Yield each field that the method resets behind its bump, whose Release publishes what came before."""
    function = compiled.functions.get(NEW_EPOCH)
    if function is not None:
        for path in function.paths:
            if path.returns:
                yield from _published_early(function, path)


def _published_early(function: Function, path: Path) -> Iterator[OrderingViolation]:
    bump = next((at for at, one in enumerate(path) if one.writes and one.touches("generation")), None)
    if bump is None:
        return  # GEN-04 asks for one by itself
    for access in path.accesses[bump + 1 :]:
        for field in RESET:
            if access.writes and access.touches(field):
                consequence = f"a CPU that reads the new generation may still see the old {field}"
                yield violation_at(
                    "GEN-04", function, access, field, f"{field} reset before the bump of generation",
                    f"{field} after the bump", consequence,
                    OrderingScene(path, access, missing_part(path, "generation", None, field)),
                )  # fmt: skip
