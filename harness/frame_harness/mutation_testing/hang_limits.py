"""How long a guest of a mutant is waited for: the subject's own checks say what is long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from frame_harness.machine.definition import Machine
from frame_harness.mutation_testing.reference import Reference

LEAST_CPU_S: Final = 6.0
"""Storms need a part of it to run at all."""
FACTOR: Final = 4
"""So many times what the longest check of a machine took may one request of a mutant take, or its boot."""


def with_hang_limits(machines: Mapping[str, Machine], reference: Reference) -> dict[str, Machine]:
    """Return machines whose limits for a boot and for a request are as short as the subject allows.

    A check boots guests and makes many requests, most of them in milliseconds. What takes the CPU time of
    several whole checks counts as a hang; `check` would wait longer. A subject that hangs itself has checks
    that took the whole limit, which then stays. Machines that a check names by itself keep their limits.
    """
    longest: dict[str, float] = {}
    for one in reference.results:
        longest[one.run.machine] = max(longest.get(one.run.machine, 0.0), one.duration_s)
    return {
        key: _limited(one, max(LEAST_CPU_S, FACTOR * longest[one.name])) if one.name in longest else one
        for key, one in machines.items()
    }


def _limited(machine: Machine, cpu_s: float) -> Machine:
    own, cpu_s = machine.limits, round(cpu_s, 1)
    return machine.override(
        limits={"boot_cpu_s": min(own.boot_cpu_s, cpu_s), "request_cpu_s": min(own.request_cpu_s, cpu_s)}
    )
