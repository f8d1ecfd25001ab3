"""How fast the guest takes in a request, beside how fast it prints an answer."""

from __future__ import annotations

from collections.abc import Iterator

from frame_harness.bench.rows import Row, beside, timed
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.machine.definition import load_machine

ROUNDS = 9
SLOTS = 200
"""A dump of so many fills most of the longest request."""


def measure() -> Iterator[Row]:
    """A long request that is refused, a long answer to a short one; both go through the same chip."""
    with Kernel.boot(build(frame_module(), "release"), load_machine("microvm")) as kernel:
        question = f"dump 0 {SLOTS}"
        n_bytes = sum(len(line) + len(": \n") for line in kernel.request(question).data)
        yield beside(
            f"a request of {n_bytes} bytes",
            lambda: timed(lambda: kernel.request("x" * n_bytes)),
            "an answer of as many",
            lambda: timed(lambda: kernel.request(question)),
            rounds=ROUNDS,
            goal="<= 5.0",
        )
