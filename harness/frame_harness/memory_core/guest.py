"""A guest with a memory core that is started on one map after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from frame_harness.base.units import GIB, Paddr
from frame_harness.guest.booted import BATCH_BYTES, BootedGuest
from frame_harness.guest.reply import ENDS_A_BATCH, Reply
from frame_harness.guest.request import grouped
from frame_harness.image.placed import CRATE
from frame_harness.memory_core.design import TREE, Design
from frame_harness.memory_core.maps import MemoryMap, Span, merged, rounded_in, without
from frame_harness.memory_core.slots import SlotWords
from frame_harness.memory_core.state import CoreState, LeftOut

STATICS = tuple(f"{CRATE}::{name}" for name in ("memory", "heap", "adapter", "core_commands"))
"""Where the core, and what drives it, keep what they remember outside of the memory that the core manages."""

LIMITED_TO = 6 * GIB
"""The limit of a request is enough for a start on a map that ends here."""
CPU_S_PER_GIB = 0.5
"""More of CPU time for each GiB above that; five times what a slow core in a dev build takes."""
LOW_MEMORY: Span = (Paddr(0), Paddr(0x9F000))
"""Free but for the page from which other CPUs were started: nobody needs that any more. The end is ours."""

BootCore = Callable[[], BootedGuest]


class CoreGuest:
    """Puts a core back to where it was before its start, as often as asked; a guest that died is replaced.

    What the core remembers is put back; memory that it managed keeps what it held, as after a warm reset.
    """

    def __init__(
        self, boot: BootCore, finish: Callable[[BootedGuest], object], design: Design = TREE
    ) -> None:
        self._boot, self._finish, self.design = boot, finish, design
        self._guest: BootedGuest | None = None
        self.last_request = ""
        self.refused = ""
        """The words in which the core refused the last map; empty where it did not."""
        self.looked_at: set[str] = set()
        """Clauses that some case was judged by; any other one was not."""
        self.steps_done = 0
        """How many operations of the last case were carried out before it came to its end."""
        self._unjudged: dict[str, LeftOut] = {}

    @property
    def guest(self) -> BootedGuest:
        """The guest as it is now; a new one where the last one died."""
        if self._guest is not None and not self._guest.alive:
            self.renew()
        if self._guest is None:
            self._guest = guest = self._boot()
            self._reader = self.design.reader(guest)
            self._note_unjudged()
            statics = [one for name in STATICS for one in guest.image.statics(name)]
            live = [guest.bytes_at(one.vaddr, one.size) for one in statics]
            self._kept = [(now, now.copy()) for now in live]
            self._given = guest.static("GIVEN", "region::GivenMap")
            regions = [(one.base, one.end) for one in guest.memory_map() if one.kind == "ram"]
            self._available = rounded_in(regions)
        return self._guest

    def renew(self) -> None:
        """End the guest; the next question goes to one that has just booted."""
        if self._guest is not None:
            guest, self._guest = self._guest, None
            self._finish(guest)

    def available(self) -> list[Span]:
        """RAM that the core may be given: the shim's own memory is not in it."""
        assert self.guest.alive
        return self._available

    def missing(self, memory: MemoryMap) -> list[Span]:
        """Memory that a map calls usable, and that is not there, or is the shim's."""
        return without(memory.usable, merged([*self.available(), LOW_MEMORY]))

    def offers(self, what: str) -> bool:
        """Whether this version of the core knows a feature, such as `protected`, `kinds` or `slots`."""
        return bool(self.guest.call("core.offers")[what])

    @cached_property
    def slot_words(self) -> SlotWords | None:
        """What this version of the frame module writes into slots; None where it has no count for nobody."""
        return SlotWords.told_by(self.guest.call("frame.words")) if self.offers("slots") else None

    def slots(self) -> NDArray[Any]:
        """The slots of a core that has started, shape (n_frames,), no copy."""
        return self._reader.slots()

    @property
    def unjudged(self) -> tuple[LeftOut, ...]:
        """What cannot be judged of this core, as far as its guests and their states told."""
        return tuple(self._unjudged.values())

    def locked(self) -> tuple[str, ...]:
        """Which locks of a core that has started somebody holds, as `CoreState.locked`."""
        return self._reader.locked()

    def start(self, memory: MemoryMap, command: str = "core.start") -> Reply:
        """Start the core on a map; it may panic.

        Args:
            command: the request that starts it.
        Raises:
            GuestCrashed, GuestTimeout: the core did not come back.
        """
        assert self.guest.alive
        for now, kept in self._kept:
            now[:] = kept
        self._write(memory)
        self.refused = ""
        limit = "" if memory.hhdm_end is None else f" {memory.hhdm_end:#x}"
        return self.request(command + limit, self._start_cpu_s(memory))

    def _start_cpu_s(self, memory: MemoryMap) -> float | None:
        """CPU time for a start: more where there is more memory than the machine's limit is for."""
        more = min(memory.top, self.guest.ram.end_paddr) - LIMITED_TO
        return self.guest.machine.limits.request_cpu_s + more / GIB * CPU_S_PER_GIB if more > 0 else None

    def request(self, line: str, cpu_s: float | None = None) -> Reply:
        """Send one request to the core.

        Args:
            cpu_s: CPU time of all CPUs together that it may take, instead of the machine's limit.
        Raises:
            GuestCrashed, GuestTimeout: the core did not come back.
        """
        self.last_request, booted = line, self.guest
        if cpu_s is None:
            return booted.request(line)
        watch = booted.guest.deadline(line, cpu_s=cpu_s, tail=booted.channel.tail)
        return booted.request(line, watching=lambda _: watch)

    def request_all(self, lines: Sequence[str]) -> Iterator[Reply]:
        """Send many requests in few round trips; the replies end behind an error or a panic.

        Raises:
            GuestCrashed, GuestTimeout: the core did not come back.
        """
        for group in grouped(lines, BATCH_BYTES):
            self.last_request = group[0]
            replies = self.guest.call("batch " + ";".join(group)).parts(group)
            self.guest.log.was_several(replies)
            yield from replies
            if replies[-1].status in ENDS_A_BATCH:
                return

    def state(self, before: CoreState | None = None) -> CoreState:
        """Everything that the core remembers now.

        Args:
            before: an earlier state of the same start.
        """
        state = self._reader.read(before.structures if before else None)
        self._note_unjudged()
        return state

    def _note_unjudged(self) -> None:
        self._unjudged |= {one.part: one for one in self._reader.unjudged}

    def _write(self, memory: MemoryMap) -> None:
        regions, protected, given = memory.regions, memory.protected, self._given
        given["count"], given["protected_count"] = len(regions), len(protected)
        for at, region in enumerate(regions):
            given["regions"][at] = (region.base, region.size, int(region.kind))
        for at, one in enumerate(protected):
            given["protected"][at] = (one.base, one.size)

    def __enter__(self) -> CoreGuest:
        return self

    def __exit__(self, *_: object) -> None:
        self.renew()
