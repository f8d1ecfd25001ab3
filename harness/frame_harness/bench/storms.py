"""How many steps of a storm a guest takes in a second, by its number of CPUs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from frame_harness.bench.rows import Row
from frame_harness.concurrency.smp import Cpus, Job
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine

CPUS = (1, 2, 4)
ROUNDS = 5
SECONDS = 0.2
ALLOCATIONS = "of allocations"
# In the steps, # is the CPU's own number.
PROGRAMS = {
    "on one frame": ("inc@0", "dec@0"),
    "on a frame each": ("inc@#", "dec@#"),
    ALLOCATIONS: ("alloc", "drop"),
}
GOAL = ">= 1.2"
"""Of allocations on several CPUs: they share the buddy's lock, and each has a cache in front of it."""


def measure() -> Iterator[Row]:
    """Steps on one, two, four CPUs, beside what one CPU does alone: above 1 the CPUs gain by each other."""
    image = build(frame_module(), "release")
    for name, steps in PROGRAMS.items():
        speeds: dict[int, list[float]] = {cpus: [] for cpus in CPUS}
        for _ in range(ROUNDS):
            for cpus in CPUS:
                with Kernel.boot(image, load_machine("q35"), cpus=cpus) as kernel:
                    speeds[cpus].append(_speed(kernel, steps))
        alone = statistics.median(speeds[1])
        for cpus in CPUS:
            ratio = statistics.median(a / b for a, b in zip(speeds[cpus], speeds[1], strict=True))
            speed = statistics.median(speeds[cpus])
            goal = GOAL if name == ALLOCATIONS and cpus > 1 else ""
            yield Row(f"storm {name}, {cpus} CPUs", speed, "1 CPU", alone, "M steps/s", ratio, goal)


def _speed(kernel: Kernel, steps: tuple[str, ...]) -> float:
    """Millions of steps a second, all CPUs together."""
    guest = Cpus(kernel)
    guest.frames([kernel.alloc(zeroed=False) for _ in range(guest.count)])
    jobs = {cpu: Job(tuple(step.replace("#", str(cpu)) for step in steps)) for cpu in range(guest.count)}
    outcome = guest.run(jobs, seconds=SECONDS)
    return outcome.steps / outcome.seconds / 1e6
