"""What a frame's owner is told when the frame goes back."""

from __future__ import annotations

from dataclasses import dataclass

from frame_harness.base.units import Paddr


@dataclass(frozen=True)
class Vtable:
    """Which hooks a registered vtable has."""

    on_last_ref: bool
    on_unmap: bool


@dataclass(frozen=True)
class HookCall:
    """A stop on a block's way back: `on_last_ref`, `on_unmap`, or `buddy` when it got there."""

    hook: str
    paddr: Paddr
