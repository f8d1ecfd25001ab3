"""The guests that cases of one build are played on, each for what others cannot do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from frame_harness.guest.boot_options import BootOptions
from frame_harness.guest.booted import BootedGuest
from frame_harness.memory_core import machines
from frame_harness.memory_core.bounds import STORM_CPUS
from frame_harness.memory_core.design import TREE, Design
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.state import LeftOut
from frame_harness.memory_core.steps import CaseStep, counts_work

SMALL, LARGE = "64 MiB", "5 GiB"
"""RAM of the guests: one that is put back fast, one with memory in every zone and behind the PCI hole."""
COUNTING = "144 MiB"
"""RAM of the guest that counts instructions: enough for lists of ten thousand blocks."""


class Cores(ExitStack):
    """All of them; each boots when it is first used, and ends with this."""

    def __init__(
        self,
        boot: Callable[[BootOptions], BootedGuest],
        finish: Callable[[BootedGuest], object],
        design: Design = TREE,
    ) -> None:
        """Boot nothing yet."""
        super().__init__()

        def core(options: BootOptions) -> CoreGuest:
            return self.enter_context(CoreGuest(lambda: boot(options), finish, design))

        self.small = core(BootOptions(init="none", ram=SMALL, cpus=STORM_CPUS))
        self.large = core(BootOptions(init="none", ram=LARGE, cpus=STORM_CPUS))
        self.huge = core(BootOptions(init="none", ram=machines.RAM, cpus=STORM_CPUS))
        self.counting = core(BootOptions(init="none", ram=COUNTING, counts_instructions=True))

    @property
    def looked_at(self) -> set[str]:
        """The clauses that some case was judged by."""
        cores = (self.small, self.large, self.huge, self.counting)
        return {clause for core in cores for clause in core.looked_at}

    @property
    def unjudged(self) -> tuple[LeftOut, ...]:
        """What cannot be judged of the core, which all guests have."""
        return self.small.unjudged

    def of_case(self, case: Sequence[CaseStep]) -> CoreGuest:
        """Where a single case is played."""
        if counts_work(case):
            return self.counting
        return self.huge if machines.is_huge(case) else self.large
