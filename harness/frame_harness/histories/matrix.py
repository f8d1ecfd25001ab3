"""Who notices which corruption: the kernel itself, an invariant, nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from frame_harness.base.units import PAGE_SHIFT
from frame_harness.frame_metadata.invariants import INVARIANTS
from frame_harness.frame_metadata.invariants.columns import Past
from frame_harness.guest.canary import PayloadWatch
from frame_harness.guest.kernel import Kernel
from frame_harness.histories.corruption_table import CORRUPTIONS
from frame_harness.histories.corruptions import ORDER, Corruption, Scene
from frame_harness.histories.lockstep import Host
from frame_harness.histories.snapshot import Snapshot

HOLE = 0xA0  # no machine has RAM at 640 KiB, where the display's memory begins on a PC
BLOCKS = 12  # of one order, every other one given back, so that a list of it holds several


@dataclass(frozen=True)
class Row:
    """One corruption with all who noticed it.

    Args:
        panics: the commands that panicked, each on a freshly corrupted guest.
        invariants: ids of those that were violated.
    """

    corruption: Corruption
    panics: tuple[str, ...]
    invariants: tuple[str, ...]

    @property
    def noticed(self) -> bool:
        return bool(self.panics or self.invariants)

    @property
    def as_expected(self) -> bool:
        """Whether exactly those invariants fired that should."""
        seen = frozenset(self.invariants)
        return self.corruption.fires <= seen <= self.corruption.fires | self.corruption.may


class CorruptionRunner:
    """A guest that has lived a little, and is brought back there after each corruption."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.quarantined: list[int] = []
        self.scene = self._live()
        self._watch = PayloadWatch(kernel)
        self._healthy = Snapshot(kernel)
        report = INVARIANTS.check_all(kernel.state(canary=self._watch.read(), quarantined=self.quarantined))
        self._past = Past(report.past.generation.copy(), report.past.poisoned.copy())
        self.violated_before = report.violated
        listed = self.scene.pfns["listed"] << PAGE_SHIFT
        self._payload = kernel.payload(listed)
        self._content = self._payload.copy()

    def _live(self) -> Scene:
        """One frame of each kind; a list of one order with several blocks, whose buddies are held."""
        kernel = self.kernel
        held, sick = kernel.alloc(), kernel.alloc()
        self.raw = kernel.buddy_alloc(2, "unmovable")
        kernel.slot(sick).mark_poisoned()
        kernel.release(sick)
        self.quarantined.append(sick)
        blocks = [kernel.buddy_alloc(ORDER, "unmovable") for _ in range(BLOCKS)]
        for block in blocks[::2]:
            kernel.buddy_free(block, ORDER)
        self.neighbor = blocks[1]
        slots, pfn = kernel.slots(), blocks[-2] >> PAGE_SHIFT
        # The block that came last is the head; the one behind it has neighbors on both sides.
        listed = int(slots["next"][pfn]) >> PAGE_SHIFT
        pfns = {
            "head": pfn,
            "listed": listed,
            "inside": listed + 3,
            "cached": self._next_cached() >> PAGE_SHIFT,
            "held": held >> PAGE_SHIFT,
            "quarantined": sick >> PAGE_SHIFT,
            "hole": HOLE,
            "reserved": 0,
        }
        return Scene(kernel, slots, kernel.buddy(), pfns)

    def _next_cached(self) -> int:
        """The frame that the next allocation gets."""
        caches = self.kernel.buddy()["caches"].reshape(-1)
        cache = next(cache for cache in caches if int(cache["len"]))
        return int(cache["frames"][int(cache["len"]) - 1])

    @property
    def probes(self) -> Sequence[str]:
        """What the kernel does next, each time on a freshly corrupted guest."""
        scene = self.scene
        return (
            "alloc new zeroed=0",
            "buddy.drain",
            f"buddy.alloc {ORDER} unmovable",
            f"release {scene.pfns['held'] << PAGE_SHIFT:#x} 0",
            f"buddy.free {self.neighbor:#x} {ORDER}",
            "alloc.all new zeroed=0",
        )

    def corrupted(self, corruption: Corruption) -> None:
        """Bring the guest back, then corrupt it."""
        self._healthy.restore()
        self._payload[:] = self._content
        corruption.edit(self.scene)

    def look(self) -> frozenset[str]:
        """The invariants that the guest violates as it is."""
        state = self.kernel.state(canary=self._watch.read(), quarantined=self.quarantined)
        return INVARIANTS.check_all(state, self._past).violated

    def row(self, corruption: Corruption) -> Row:
        """Let everybody look at one corruption."""
        self.corrupted(corruption)
        violated = self.look()
        panics = []
        for probe in self.probes:
            self.corrupted(corruption)
            if self.kernel.request(probe).status == "panic":
                panics.append(" ".join(word for word in probe.split() if not word.startswith("0x")))
        self._healthy.restore()
        self._payload[:] = self._content
        return Row(corruption, tuple(panics), tuple(sorted(violated)))


def matrix(host: Host, corruptions: Sequence[Corruption] = CORRUPTIONS) -> Iterator[Row]:
    """One row for each corruption, all on one guest."""
    kernel = host.boot()
    try:
        laboratory = CorruptionRunner(kernel)
        for corruption in corruptions:
            yield laboratory.row(corruption)
    finally:
        host.finish(kernel)
