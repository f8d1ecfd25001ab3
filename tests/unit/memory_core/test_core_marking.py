"""Proves what a core may change when it marks a frame, on slots and answers that a test makes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from frame_harness.base.units import Pfn
from frame_harness.console.protocol import Fields, ReplyLine
from frame_harness.guest.reply import Reply
from frame_harness.memory_core.judging import CoreViolation, Owned
from frame_harness.memory_core.marking import mark
from frame_harness.memory_core.owning_steps import Mark

COW, DLL, OTHER = 0x10, 0x20, 0x1
FRAME = 20
COMMANDS = {"cow": "cow.set", "plain": "cow.clear", "dll": "dll.set"}


class Core:
    """A core of 64 frames, in which somebody holds one; each command does what the test says."""

    def __init__(self, flags: int, *, does: dict[int, int], tells: dict[str, int] | None = None) -> None:
        self.table = np.zeros(64, [("flags", "<u4"), ("aux", "<u4")])
        self.table["flags"][FRAME] = flags
        self.owned = {"a": [Owned(Pfn(FRAME), 0, "unmovable")]}
        self.core = SimpleNamespace(slots=lambda: self.table, looked_at=set())
        self.watch = None
        self.asked: list[str] = []
        self.function = ""
        self._does, self._tells = does, tells or {}

    def held(self) -> list[Owned]:
        return [block for blocks in self.owned.values() for block in blocks]

    def ask(self, line: str) -> Reply:
        self.asked.append(line)
        if not line.startswith("cow.marks"):
            for pfn, flags in self._does.items():
                self.table["flags"][pfn] = flags
        flags = int(self.table["flags"][FRAME])
        told = {"cow": int(bool(flags & COW)), "dll": int(bool(flags & DLL))} | self._tells
        words = {name: str(value) for name, value in (told | {"cow_bit": COW, "dll_bit": DLL}).items()}
        return Reply(line, ReplyLine(1, "ok", fields=Fields(words)))

    def judged(self) -> list[CoreViolation]:
        return []


def marked(kind: str, core: Core, name: str = "a") -> list[CoreViolation]:
    playing: Any = core
    return list(mark(Mark(kind, name), playing, playing))


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [("cow", OTHER, OTHER | COW), ("plain", OTHER | COW, OTHER), ("dll", COW, COW | DLL), ("plain", 0, 0)],
)
def test_the_mark_alone_may_change(kind: str, before: int, after: int) -> None:
    core = Core(before, does={FRAME: after})
    assert marked(kind, core) == []
    assert core.asked == [f"{COMMANDS[kind]} 0x14000", "cow.marks 0x14000"]
    assert core.core.looked_at == {"CORE-38"}


@pytest.mark.parametrize("after", [OTHER, COW, OTHER | COW | DLL])
def test_a_mark_that_is_missing_or_more_than_the_mark_is_told(after: int) -> None:
    [found] = marked("cow", Core(OTHER, does={FRAME: after}))
    assert (found.clause, found.expected, found.got) == ("CORE-38", "flags 0x11", f"flags {after:#x}")


def test_a_frame_beside_it_must_stay_as_it_is() -> None:
    [found] = marked("cow", Core(0, does={FRAME: COW, FRAME + 1: 7}))
    assert (found.paddr, found.expected, found.got) == (0x15000, "flags 0x0", "flags 0x7")


def test_what_the_core_tells_must_be_what_the_slot_holds() -> None:
    [found] = marked("cow", Core(0, does={FRAME: COW}, tells={"dll": 1}))
    assert (found.expected, found.got) == ("dll 0", "dll 1")


def test_a_name_under_which_nobody_holds_a_block_is_passed_over() -> None:
    core = Core(0, does={})
    assert marked("cow", core, "b") == [] and core.asked == []
