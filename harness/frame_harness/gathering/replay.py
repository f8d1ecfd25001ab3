"""Plays a guest's commands again in a fresh guest, to see memory before the last change and in between.

The guest of a check is never asked anything: it must end as it would have. Where a fresh guest does not
answer as the first one did, or comes to another memory, what it shows is not what happened, and is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from frame_harness.archive.memory import Life, Payload
from frame_harness.base.errors import HarnessError
from frame_harness.base.tables import copy_of, differing_rows
from frame_harness.base.units import Paddr
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_guest.memory_view import memory_in_ram, with_all_fields
from frame_harness.frame_metadata.frame_states import free_frames_by_order
from frame_harness.frame_metadata.memory_state import SLOT_FIELDS, MemoryState
from frame_harness.gathering.frames import payload_of
from frame_harness.gathering.taken import Taken, take
from frame_harness.guest.boot_options import BootOptions
from frame_harness.guest.checks import Shows
from frame_harness.guest.command_log import Sent
from frame_harness.guest.errors import GuestFailure
from frame_harness.guest.pool import GuestPool
from frame_harness.guest.view import Region
from frame_harness.image.image import Image
from frame_harness.machine.definition import Machine

MOST_COMMANDS: Final = 2000
MOST_CPU_S: Final = 2.0
"""Of QEMU's CPU time, for all commands of one guest."""
MOST_RAM: Final = 1 << 30
"""Bytes; a guest with more takes seconds to start."""
_EXIT: Final = "exit"
_SEVERAL_CPUS: Final = "smp."


class NotReplayed(HarnessError):
    """Commands were not played again, or showed something else; the text says why."""


@dataclass(frozen=True, eq=False)
class PlayedAgain:
    """What a fresh guest showed."""

    before: MemoryState
    """Memory before the last command that changed a slot, or that the guest did not survive."""
    payload: Payload
    """Bytes of the first of the frames at that moment."""
    changed_by: str
    """That command; empty where none did: then `before` is memory after boot."""
    end: MemoryState
    """Memory after the last command that the guest survived."""
    life: Life


class CommandReplayer:
    """Fresh guests of this process, which no run counts; `close` ends them."""

    def __init__(self) -> None:
        self._pool = GuestPool(at_once=True)

    def close(self) -> None:
        """End the guests.

        Raises:
            HarnessError: one did not end well.
        """
        self._pool.close()

    def shown(
        self, image: Image, machine: Machine, by: Shows, found_on: Paddr | None, error: BaseException
    ) -> Taken:
        """Play what shows a violation; return what the guest leaves.

        Raises:
            HarnessError: a fresh guest does not come to its prompt.
        """
        with self._booted(image, machine, by.options) as kernel:
            lines = by.lines_on(kernel.vtable)
            kernel.log.begin_check()
            with contextlib.suppress(GuestFailure):  # that is what is shown
                for line in lines:
                    kernel.request(line)
            taken = take(kernel, lambda: memory_in_ram(kernel), found_on, error)
        taken.notes.append("played again in a fresh guest: the check's own were gone")
        return taken

    def regions(self, image: Image, machine: Machine, options: BootOptions) -> list[Region]:
        """The memory map that a guest with these options tells at its prompt.

        Raises:
            HarnessError: it does not come to its prompt.
        """
        with self._booted(image, machine, options) as kernel:
            return kernel.memory_map()

    def play(
        self, image: Image, machine: Machine, options: BootOptions, sent: Sequence[Sent], *,
        died: bool, pfns: NDArray[np.int64],
    ) -> PlayedAgain:  # fmt: skip
        """Play commands again.

        Args:
            died: the guest did not survive the last one: it is not played.
            pfns: shape (k,), of the frames whose life is told.
        Raises:
            NotReplayed: it takes too long, or a command is answered otherwise.
            HarnessError: a fresh guest does not get so far.
        """
        commands = [one for one in sent if one.line.split(" ", 1)[0] != _EXIT]
        if any(one.line.startswith(_SEVERAL_CPUS) for one in commands):
            raise NotReplayed(
                "replay", detail="several CPUs worked at once, which never goes the same way twice"
            )
        if len(commands) > MOST_COMMANDS:
            raise NotReplayed(
                "replay", detail=f"{len(commands)} commands, at most {MOST_COMMANDS} are played"
            )
        fatal = commands.pop() if died and commands and not commands[-1].reply else None
        with self._booted(image, machine, options) as kernel:
            steps = _Steps(kernel, kernel.memory_map(), pfns)
            for one in commands:
                steps.play(one)
            return steps.played(fatal)

    @contextlib.contextmanager
    def _booted(self, image: Image, machine: Machine, options: BootOptions) -> Iterator[Kernel]:
        if machine.ram > MOST_RAM:
            raise NotReplayed("replay", detail=f"{machine.ram >> 20} MiB of RAM, at most {MOST_RAM >> 20}")
        limited = machine.override(limits={"request_cpu_s": min(MOST_CPU_S, machine.limits.request_cpu_s)})
        kernel = self._pool.boot(Kernel, image, limited, options)
        try:
            yield kernel
        except BaseException:
            kernel.prompt = None  # what went wrong with it is not known
            raise
        finally:
            kernel.finish()


@dataclass(frozen=True, eq=False)
class _Change:
    """What a command changed in the slots."""

    line: str
    pfns: NDArray[np.int64]
    """Shape (k,), of the slots."""
    before: NDArray[Any]
    """Shape (k,), what they were."""


class _Steps:
    """What is seen after each command."""

    def __init__(self, kernel: Kernel, regions: Sequence[Region], pfns: NDArray[np.int64]) -> None:
        self._kernel, self._regions, self._pfns = kernel, regions, pfns
        self._slots = copy_of(kernel.slots())
        """As they were seen last."""
        self._before = self._now = self._moment()
        self._last: _Change | None = None
        self._commands: list[str] = []
        self._rows = [self._slots[pfns]]
        self._free = [free_frames_by_order(self._slots)]

    def play(self, one: Sent) -> None:
        """Send a command, look at memory."""
        reply = self._kernel.request(one.line).shown
        if one.reply and reply != one.reply:
            raise NotReplayed(
                "replay", f"`{_short(one.line)}`", expected=_short(one.reply), actual=_short(reply)
            )
        if self._kernel.guest.cpu_time_s() > MOST_CPU_S:
            raise NotReplayed("replay", detail=f"more than {MOST_CPU_S:g} s of QEMU's CPU time")
        self._commands.append(f"{one.line} → {reply}")
        self._look(one.line)

    def _look(self, line: str) -> None:
        """Learn what a command changed; most change a few slots of many thousands, or none."""
        free, slots = self._free[-1], self._kernel.slots()
        if len(slots) != len(self._slots):
            raise NotReplayed("replay", f"`{_short(line)}`", detail="the number of slots changes")
        if len(pfns := differing_rows(self._slots, slots)):
            before, after = self._slots[pfns], slots[pfns]
            self._slots[pfns] = after
            self._last = _Change(line, pfns, before)
            self._before, self._now = self._now, self._moment()
            free = free - free_frames_by_order(before) + free_frames_by_order(after)
        self._rows.append(self._slots[self._pfns])
        self._free.append(free)

    def played(self, fatal: Sent | None) -> PlayedAgain:
        """All of it, once everything was played."""
        slots = copy_of(self._slots)
        # Lists and counters may have changed without a slot.
        now = self._moment()
        end = _with_slots(now[0], slots)
        life = Life(self._pfns, np.array(self._rows), tuple(self._commands), np.array(self._free))
        if fatal:
            return PlayedAgain(end, now[1], fatal.line, end, life)
        before, line = copy_of(slots), ""
        if self._last is not None:
            before[self._last.pfns], line = self._last.before, self._last.line
        return PlayedAgain(_with_slots(self._before[0], before), self._before[1], line, end, life)

    def _moment(self) -> tuple[MemoryState, Payload]:
        """Memory as it is, but for its slots, which are live."""
        return memory_in_ram(self._kernel, self._regions), payload_of(self._kernel, self._pfns)


def _with_slots(state: MemoryState, slots: NDArray[Any]) -> MemoryState:
    return replace(state, slots=with_all_fields(slots))


def require_same(played: PlayedAgain, seen: MemoryState) -> None:
    """Require that a fresh guest came to the memory that was seen.

    Raises:
        NotReplayed: something else than commands wrote there.
    """
    one, other = played.end.slots, seen.slots
    if len(one) != len(other):
        raise NotReplayed("replay", "slots", expected=len(other), actual=len(one))
    differs = np.zeros(len(one), np.bool_)
    for name in SLOT_FIELDS:
        differs |= one[name] != other[name]
    if (count := int(np.count_nonzero(differs))) != 0:
        first = int(np.flatnonzero(differs)[0])
        raise NotReplayed(
            "replay", detail=f"{count} slots differ from those seen, the first that of frame {first:#x}000: "
            "the check writes to memory by itself",
        )  # fmt: skip


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}…"
