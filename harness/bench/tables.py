"""How fast the slot table is read: mapped RAM beside the serial dump."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.bench.rows import Row, beside, timed
from harness.image.build import build
from harness.image.subject import Subject
from harness.kernel import Kernel
from harness.machine.definition import load_machine

RAM = "1 GiB"
ROUNDS = 5


def measure() -> Iterator[Row]:
    """Read and type every byte of the slot table of a 1 GiB guest, both ways."""
    image = build(Subject.builtin(), "release")
    with Kernel.boot(image, load_machine("q35"), ram=RAM) as kernel:
        yield beside(
            f"slot table of {RAM} by mapped RAM",
            lambda: timed(lambda: _read(kernel)),
            "the same by serial dump (run-length coded)",
            lambda: timed(kernel.dump),
            rounds=ROUNDS,
            goal=">= 200",
            faster=True,
        )


def _read(kernel: Kernel) -> int:
    """Make the typed view anew, then read every byte of it where it lies."""
    kernel.forget_views()
    return int(kernel.slots().view(np.uint64).sum())
