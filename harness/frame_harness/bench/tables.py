"""How fast the slot table is read: mapped RAM beside the serial dump."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from frame_harness.bench.rows import Row, beside, timed
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine

RAM = "1 GiB"
ROUNDS = 5
FRAMES_USED = 512
"""Every other one is given back, so that no two slots next to each other are equal."""


def measure() -> Iterator[Row]:
    """Read and type every byte of the slot table of a 1 GiB guest, both ways, before and after some use.

    Right after boot nearly all slots are equal, which run-length coding makes the most of.
    """
    image = build(frame_module(), "release")
    with Kernel.boot(image, load_machine("q35"), ram=RAM) as kernel:
        yield _row(kernel, "after boot", goal="")
        used = [kernel.alloc(purpose="user", zeroed=False) for _ in range(FRAMES_USED)]
        for paddr in used[::2]:
            kernel.release(paddr)
        yield _row(kernel, "in use", goal=">= 200")


def _row(kernel: Kernel, when: str, *, goal: str) -> Row:
    return beside(
        f"slot table of {RAM} {when}, by mapped RAM",
        lambda: timed(lambda: _read(kernel)),
        "the same by serial dump (run-length coded)",
        lambda: timed(kernel.dump),
        rounds=ROUNDS,
        goal=goal,
        faster=True,
    )


def _read(kernel: Kernel) -> int:
    """Make the typed view anew, then read every byte of it where it lies."""
    kernel.forget_views()
    return int(kernel.slots().view(np.uint64).sum())
