"""Contract kind W: what must hold of all of memory at once, whatever the memory map looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from frame_harness.base.units import KERNEL_VMA, KIB, MIB, Paddr, align_up
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_histories.scenarios import Scenario
from frame_harness.frame_histories.whole_memory import WatchedMemory
from frame_harness.guest.boot_options import BootOptions
from frame_harness.guest.errors import AllocFailed, SubjectPanic
from frame_harness.image.image import Image
from frame_harness.judge.evidence import RunKey
from frame_harness.session.plugin import KERNELS
from frame_harness.session.run import Run

pytestmark = [pytest.mark.one_machine, pytest.mark.level("memory")]

MARGIN = 256 * KIB  # above the kernel image: page tables, slots, something to allocate
SMALLEST_MACHINE = 2 * MIB  # the least that a machine may have
BLAMED = {
    "ARRAY-11": "init_metadata_array",
    "ALLOC-14": "FrameAllocOptions::allocate",
    "FREE-01": "MetaSlot::set_next",
    "FREE-02": "MetaSlot::reset_with_free_list_meta",
    "FREE-03": "MetaSlot::set_next",
    "FREE-04": "MetaSlot::set_order",
    "FREE-05": "MetaSlot::set_order",
    "FREE-06": "block_phys_has_poison_guard",
    # not of this kind, but invariants see more of them than any single operation shows
    "GEN-02": "MetaSlot::note_new_allocation_epoch",
    "GUARD-04": "MetaSlot::reset_with_free_list_meta",
    "GUARD-07": "MetaSlot::reset_with_free_list_meta",
}
CLAUSES = [pytest.param(id_, marks=pytest.mark.clause(id_, at=at), id=id_) for id_, at in BLAMED.items()]

Islands = list[tuple[Paddr, int]]


def smallest(image: Image) -> int:
    """The kernel image with as little above it as boots."""
    end, _ = image.symbol("__kernel_end")
    return max(SMALLEST_MACHINE, align_up(end - KERNEL_VMA + MARGIN, 64 * KIB))


def islands_of_odd_alignment() -> Islands:
    """Single bytes, frames cut in two, whole blocks, all strewn over the first 24 MiB from 4 MiB on."""
    strewn = [(4 * MIB + index * 0xA_3457, 1 + index * index * 0x33) for index in range(24)]
    islands = [*strewn, (20 * MIB, 1 * MIB), (22 * MIB + 1, 4095), (23 * MIB - 1, 2)]
    return [(Paddr(base), length) for base, length in islands]


MEMORIES: dict[str, Callable[[Image], BootOptions]] = {
    "whole": lambda _: BootOptions(),
    "smallest": lambda image: BootOptions(ram=smallest(image)),
    "islands": lambda _: BootOptions(reserve=islands_of_odd_alignment()),
    "partial-last-frame": lambda _: BootOptions(ramtop=21 * MIB + 0x1234, reserve=[(19 * MIB, 0x801)]),
    "three-zones": lambda _: BootOptions(ram=1024 * MIB),
}


class Lives:
    """What was seen of each run's guests; each lives once in a process."""

    def __init__(self) -> None:
        self._seen: dict[tuple[RunKey, str], WatchedMemory | Exception] = {}

    def of(self, run: Run, name: str, memory: BootOptions) -> WatchedMemory:
        key = (run.key, name)
        if key not in self._seen:
            kernel = run.boot(memory)
            watched = WatchedMemory(kernel, [(Paddr(base), length) for base, length in memory.reserve])
            try:
                self._seen[key] = Scenario(watched, seed=len(name)).live()
            except (SubjectPanic, AllocFailed) as error:
                watched.broken, self._seen[key] = error, watched
            except Exception as error:
                # It would break off again, once for each clause.
                self._seen[key] = error
                raise
            finally:
                run.finish(kernel)
        seen = self._seen[key]
        if isinstance(seen, Exception):
            raise seen
        return seen


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    """Dropped with the module: what was seen holds the memory of its guests."""
    yield Lives()


def judge(request: pytest.FixtureRequest, watched: WatchedMemory, clause: str) -> None:
    kernels: list[Kernel] = request.node.stash.setdefault(KERNELS, [])
    kernels.append(watched.kernel)
    watched.require(clause)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("clause", CLAUSES)
def test_all_of_memory_keeps_the_clause(
    clause: str, memory: str, frame_run: Run, image: Image, lives: Lives, request: pytest.FixtureRequest
) -> None:
    """From boot over a history, exhaustion, refill; judged from outside at each of these moments."""
    judge(request, lives.of(frame_run, memory, MEMORIES[memory](image)), clause)
