"""Carries out the step that marks a frame, and looks for what else changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from frame_harness.base.units import pfn_to_paddr
from frame_harness.memory_core.judging import CoreViolation
from frame_harness.memory_core.owning_asks import FUNCTIONS, near_blocks, panic_of
from frame_harness.memory_core.owning_steps import Mark
from frame_harness.memory_core.playing import Playing
from frame_harness.memory_core.state import CoreState

_MARKING: Final = {"cow": ("cow.set", "cow", True), "plain": ("cow.clear", "cow", False),
                   "dll": ("dll.set", "dll", True)}  # fmt: skip


def mark(step: Mark, playing: Playing, _before: CoreState) -> Iterator[CoreViolation]:
    """Mark a frame; its slot and those near it stay as they are but for the mark."""
    held = playing.owned.get(step.name, [])
    if not held:
        return
    command, name, there = _MARKING[step.mark]
    near, paddr = near_blocks(playing), pfn_to_paddr(held[-1].pfn)
    expected = playing.core.slots()[near].copy()
    playing.core.looked_at.add("CORE-38")
    playing.function = FUNCTIONS[command]
    for line in (f"{command} {paddr:#x}", f"cow.marks {paddr:#x}"):
        reply = playing.ask(line)
        if reply.status == "panic":
            yield panic_of(playing, "CORE-38", line, reply)
            return
    at = int(np.flatnonzero(near == held[-1].pfn)[0])
    bit = reply[f"{name}_bit"]
    flags = int(expected["flags"][at])
    expected["flags"][at] = flags = flags | bit if there else flags & ~bit
    now = playing.core.slots()[near]
    if changed := near[now != expected].tolist():
        frame = changed[0]
        what = f"`{command} {paddr:#x}`, then the slot of frame {pfn_to_paddr(frame):#x}"
        wanted, got = _differs(expected[near == frame][0], now[near == frame][0])
        yield CoreViolation("CORE-38", what, wanted, got, pfn_to_paddr(frame), command)
        return
    for name in ("cow", "dll"):
        told = bool(flags & reply[f"{name}_bit"])
        if bool(reply[name]) != told:
            what, got = f"`cow.marks {paddr:#x}`", f"{name} {reply[name]}"
            yield CoreViolation("CORE-38", what, f"{name} {int(told)}", got, paddr, name)
            return
    if playing.watch is not None:
        playing.watch.was_changed(held[-1].pfn)
    yield from playing.judged()


def _differs(expected: Any, got: Any) -> tuple[str, str]:
    """The first field of two slots that differs, in words for each."""
    name = next(name for name in expected.dtype.names if not np.array_equal(expected[name], got[name]))
    return f"{name} {_number(expected[name])}", f"{name} {_number(got[name])}"


def _number(value: Any) -> str:
    return f"{int(value):#x}" if np.ndim(value) == 0 else str(value.tolist())
