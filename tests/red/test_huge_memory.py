"""64 GiB of guest memory, of which only what is touched exists, are judged as a whole."""

from __future__ import annotations

import pytest

from frame_harness.base.units import GIB
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_histories.scenarios import Scenario
from frame_harness.frame_histories.whole_memory import WatchedMemory
from frame_harness.frame_metadata.clauses import CLAUSES
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine

RAM = 64 * GIB
LIMITS = {"boot_cpu_s": 240.0, "request_cpu_s": 240.0}


class ShortLife(Scenario):
    """Without exhaustion: sixteen million frames, taken one by one, take too long for a test."""

    def exhaust(self) -> None:
        while self._take(11) and len(self.held) < 100:
            pass


@pytest.mark.slow
def test_every_whole_memory_clause_holds_on_64_gib() -> None:
    machine = load_machine("q35").override(limits=LIMITS)
    with Kernel.boot(build(frame_module(), "release"), machine, ram=RAM) as kernel:
        assert kernel.frames >= RAM >> 12
        watched = ShortLife(WatchedMemory(kernel), seed=64).live()
        for id_, clause in CLAUSES.items():
            if "W" in clause.kind:
                watched.require(id_)
