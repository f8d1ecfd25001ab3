"""Who notices which corruption: the kernel itself, an invariant, nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from frame_harness.base.units import Paddr, Pfn, frames_from, paddr_to_pfn, pfn_to_paddr
from frame_harness.frame_guest.canary import PayloadWatch
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_histories.commands import Command, Op, Recipe, encode
from frame_harness.frame_histories.corruption_table import CORRUPTIONS
from frame_harness.frame_histories.corruptions import ORDER, Corruption, CorruptionScene, middle_of
from frame_harness.frame_histories.lockstep import Host
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.invariants.columns import Past
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.guest.bookkeeping import BookkeepingCopy

# No machine has RAM at 640 KiB, where the display's memory begins on a PC (QEMU 7.2, hw/display/vga.c).
HOLE = Pfn(0xA0)
BLOCKS = 10  # of one order, every other one given back, so that a list of it holds several


@dataclass(frozen=True)
class MatrixRow:
    """One corruption with all who noticed it."""

    corruption: Corruption
    panics: tuple[Op, ...]
    """The commands that panicked, each on a freshly corrupted guest."""
    invariants: tuple[str, ...]
    """Ids of those that were violated."""

    @property
    def noticed(self) -> bool:
        """Whether any command panicked or any invariant was violated."""
        return bool(self.panics or self.invariants)

    @property
    def as_expected(self) -> bool:
        """Whether exactly those invariants fired that should."""
        return self.corruption.explains(frozenset(self.invariants))


class CorruptionRunner:
    """A guest that has lived a little, and is brought back there after each corruption."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.quarantined: list[Paddr] = []
        self.scene = self._live()
        self._watch = PayloadWatch(kernel)
        self._healthy = BookkeepingCopy(kernel)
        report = INVARIANTS.check_all(kernel.state(canary=self._watch.read(), quarantined=self.quarantined))
        self._past = Past(report.past.generation.copy(), report.past.poisoned.copy())
        self.violated_before = report.violated
        self._content = self.scene.payload.copy()

    def _live(self) -> CorruptionScene:
        """One frame of each kind; a list of one order with several blocks, whose buddies are held."""
        kernel = self.kernel
        held, sick = kernel.alloc(), kernel.alloc()
        kernel.slot(sick).mark_poisoned()
        kernel.release(sick)
        self.quarantined.append(sick)
        blocks = [kernel.buddy_alloc(ORDER, "unmovable") for _ in range(BLOCKS)]
        for block in blocks[::2]:
            kernel.buddy_free(block, ORDER)
        self.neighbor, head = blocks[1], blocks[-2]
        slots, buddy = kernel.slots(), kernel.buddy()
        zones = buddy["zones"][: int(buddy["n_zones"])]
        # The block that came last is the head.
        listed, elsewhere = middle_of(slots, head), Paddr(int(zones[0]["heads"][0, ORDER]))
        paddrs = {"head": head, "listed": listed, "elsewhere": elsewhere, "held": held, "quarantined": sick}
        paddrs |= {"cached": self._next_cached(), "hole": pfn_to_paddr(HOLE), "reserved": Paddr(0)}
        pfns = {kind: paddr_to_pfn(paddr) for kind, paddr in paddrs.items()}
        whole = [*frames_from(pfns["listed"], 1 << ORDER)]
        pfns |= {"inside": whole[3], "last": whole[-1]}
        return CorruptionScene(slots, zones, buddy["caches"], kernel.payload(listed), pfns)

    def _next_cached(self) -> Paddr:
        """The frame that the next allocation gets."""
        caches = self.kernel.buddy()["caches"].reshape(-1)
        cache = next(cache for cache in caches if int(cache["len"]))
        return Paddr(int(cache["frames"][int(cache["len"]) - 1]))

    @property
    def probes(self) -> Sequence[Command]:
        """What the kernel does next, each time on a freshly corrupted guest."""
        recipe = Recipe("new", (False,))
        return (
            Command(Op.ALLOC, (recipe,)),
            Command(Op.DRAIN),
            Command(Op.BUDDY_ALLOC, (ORDER, Migratetype.UNMOVABLE)),
            Command(Op.RELEASE, (self.scene.paddr("held"), 0)),
            Command(Op.BUDDY_FREE, (self.neighbor, ORDER)),
            Command(Op.ALLOC_ALL, (recipe,)),
        )

    def corrupted(self, corruption: Corruption) -> None:
        """Bring the guest back, then corrupt it."""
        self._healthy.restore()
        self.scene.payload[:] = self._content
        corruption.edit(self.scene)

    def look(self) -> frozenset[str]:
        """The invariants that the guest violates as it is."""
        state = self.kernel.state(canary=self._watch.read(), quarantined=self.quarantined)
        return INVARIANTS.check_all(state, self._past).violated

    def row(self, corruption: Corruption) -> MatrixRow:
        """Let everybody look at one corruption."""
        self.corrupted(corruption)
        violated = self.look()
        panics: list[Op] = []
        for probe in self.probes:
            self.corrupted(corruption)
            if self.kernel.request(encode(probe)).status == "panic":
                panics.append(probe.op)
        self._healthy.restore()
        self.scene.payload[:] = self._content
        return MatrixRow(corruption, tuple(panics), tuple(sorted(violated)))


def matrix(host: Host) -> Iterator[MatrixRow]:
    """One row for each corruption, all on one guest."""
    kernel = host.boot()
    try:
        runner = CorruptionRunner(kernel)
        for corruption in CORRUPTIONS:
            yield runner.row(corruption)
    finally:
        host.finish(kernel)
