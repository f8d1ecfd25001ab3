"""Commands of the console that the host carries out: it reads the guest's memory, and asks it for little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from frame_harness.base.errors import BootError, HarnessError, UsageError
from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn, pfn_to_paddr
from frame_harness.cli.console_map import picture
from frame_harness.cli.console_slot import slot_lines
from frame_harness.contract.layout import RESERVED
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_guest.memory_view import memory_state, without_buddy
from frame_harness.frame_metadata.frame_states import States, states_by_frame
from frame_harness.guest.checks import ImpossibleValue

HELP: Final = (
    "slot <frame> - the slot of a frame, decoded; a frame is an address in it, or pfn:<number>",
    "map [<first frame> [<last frame>]] - memory as a picture",
    "map regions - the memory map: base, end, kind",
    "watch <frame> <field> - tell behind each command whether that field changed",
    "watch off - end all of these",
)
"""What `help` shows of these commands, in the guest's own form."""
WATCH: Final = "watch"
NAMES: Final = ("slot", "map", WATCH)
GUEST_S_OWN: Final = {"map regions": "map"}
"""What is asked of the guest under another name than its own."""
HIDDEN: Final = "map - "
"""How the line of `help` begins that a line above stands for."""
_PFN: Final = "pfn:"

ShownLine = str | Text


@dataclass
class _Watched:
    """A field of a slot, with what it held when it was looked at last."""

    pfn: Pfn
    field: str
    value: str


class HostCommands:
    """Reads slots and memory of the guest that the console talks to."""

    def __init__(self) -> None:
        self._watched: list[_Watched] = []

    def run(self, kernel: Kernel, line: str) -> Iterator[ShownLine]:
        """Carry a command out.

        Raises:
            UsageError: it names no frame or field that there is, or there is no slot table yet.
            HarnessError: the guest is gone.
        """
        name, *words = line.split()
        match name:
            case "slot":
                return self._slot(kernel, words)
            case "map":
                return self._map(kernel, words)
            case _:
                return self._watch(kernel, words)

    def changes(self, kernel: Kernel) -> Iterator[str]:
        """What became of each field that is watched since the last look."""
        for one in self._watched:
            where = f"watch {one.field} of frame {pfn_to_paddr(one.pfn):#x}"
            try:
                now = _value(_table(kernel), one.pfn, one.field)
            except HarnessError as error:
                yield f"{where}: {error.summary}"
                continue
            yield f"{where}: {one.value} → {now}" if now != one.value else f"{where}: {now}, unchanged"
            one.value = now

    def _slot(self, kernel: Kernel, words: Sequence[str]) -> Iterator[ShownLine]:
        if len(words) != 1:
            raise UsageError("slot", expected="one frame", actual=_given(words), next_step="slot 0x1000")
        slots = _table(kernel)
        pfn = _frame(words[0], len(slots))
        return slot_lines(slots, pfn, _states(kernel), kernel.image)

    def _map(self, kernel: Kernel, words: Sequence[str]) -> Iterator[ShownLine]:
        if len(words) > 2:
            raise UsageError("map", expected="at most two frames", actual=_given(words))
        count = len(_table(kernel))
        ends = [_frame(word, count) for word in words]
        first, last = (*ends, *(Pfn(0), Pfn(count - 1))[len(ends) :])
        if last < first:
            raise UsageError("map", expected="the first frame, then the last", actual=_given(words))
        return picture(_states(kernel), first, last + 1)

    def _watch(self, kernel: Kernel, words: Sequence[str]) -> Iterator[ShownLine]:
        if list(words) == ["off"]:
            self._watched.clear()
            return iter(["nothing is watched"])
        if len(words) != 2:
            raise UsageError(
                "watch", expected="a frame and a field", actual=_given(words),
                next_step="watch 0x1000 refcount; watch off ends all",
            )  # fmt: skip
        slots, field = _table(kernel), words[1]
        pfn = _frame(words[0], len(slots))
        known = [name for name in slots.dtype.names or () if RESERVED not in name]
        if field not in known:
            raise UsageError(
                "watch", "field", expected=f"one of {', '.join(known)}", actual=field, next_step="name one"
            )
        self._watched = [one for one in self._watched if (one.pfn, one.field) != (pfn, field)]
        self._watched.append(_Watched(pfn, field, _value(slots, pfn, field)))
        return iter([f"watch {field} of frame {pfn_to_paddr(pfn):#x}: {self._watched[-1].value}"])


def _table(kernel: Kernel) -> NDArray[Any]:
    """The slots in RAM.

    Raises:
        UsageError: there are none, or not where the guest says.
    """
    try:
        return kernel.slots()
    except (BootError, ImpossibleValue) as error:
        why = error.detail if isinstance(error, BootError) else str(error)
        raise UsageError("slot table", detail=why, next_step="`array.init` makes one") from error


def _states(kernel: Kernel) -> States:
    regions = kernel.memory_map()
    there = kernel.witness.buddy_vaddr != 0
    state = memory_state(kernel, regions=regions) if there else without_buddy(kernel, regions)
    return states_by_frame(state)


def _frame(word: str, count: int) -> Pfn:
    """The number of the frame that a word names: `0x1061abc`, `4096`, `pfn:0x1061`.

    Raises:
        UsageError: it is no number, or the table has no such frame.
    """
    try:
        number = int(word.removeprefix(_PFN), 0)
    except ValueError:
        raise UsageError(
            "frame", word, expected="a physical address or pfn:<number>", actual="another word",
            next_step="0x1000 and pfn:1 name the same frame",
        ) from None  # fmt: skip
    pfn = Pfn(number) if word.startswith(_PFN) else paddr_to_pfn(Paddr(number))
    if not 0 <= pfn < count:
        raise UsageError(
            "frame", word, expected=f"one of the table's {count}, up to {pfn_to_paddr(Pfn(count)) - 1:#x}",
            actual=f"pfn {pfn:#x}", next_step="name another frame",
        )  # fmt: skip
    return pfn


def _value(slots: NDArray[Any], pfn: Pfn, field: str) -> str:
    value = slots[field][pfn]
    return f"{int(value):#x}" if isinstance(value, np.integer) else np.asarray(value).tobytes().hex()


def _given(words: Sequence[str]) -> str:
    return " ".join(words) or "none"
