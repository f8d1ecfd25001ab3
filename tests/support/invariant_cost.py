"""Times all invariants against one plain read of the same slots."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from harness.contract.invariants import check_all
from tests.support.synthetic import Shape, healthy_state

ROUNDS = 7
# Chance that a block stays whole: fragmented as after some use, and single frames in shuffled lists alone.
FRAGMENTATION = {"mixed": 0.3, "shattered": 0.0}


def seconds(clock: Callable[[], float], action: Callable[[], object]) -> float:
    start = clock()
    action()
    return clock() - start


def measure(log2_frames: int, keep: float) -> str:
    """Medians over interleaved rounds, of CPU time: other programs' work is none of the check's."""
    state = healthy_state(Shape(1 << log2_frames, keep=keep))
    words = state.slots.view(np.uint64)
    past = check_all(state).past
    rounds = [
        (seconds(time.thread_time, words.sum), seconds(time.thread_time, lambda: check_all(state, past)))
        for _ in range(ROUNDS)
    ]
    read_s, check_s = (float(np.median(column)) for column in zip(*rounds, strict=True))
    best = min(check / read for read, check in rounds)
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        f"read {read_s * 1e3:8.2f} ms  check {check_s * 1e3:9.1f} ms  ratio {check_s / read_s:5.1f} "
        f"(best {best:.1f})  {check_s / (1 << log2_frames) * 1e9:4.0f} ns a slot  peak {peak_gib:.1f} GiB"
    )


def main() -> None:
    """One line for each number of slots and fragmentation; arguments are log2 of the slots.

    `python -m tests.support.invariant_cost 20 24`
    """
    for log2_frames in map(int, sys.argv[1:] or ["20"]):
        for name, keep in FRAGMENTATION.items():
            print(f"2^{log2_frames} {name:9} {measure(log2_frames, keep)}", flush=True)


if __name__ == "__main__":
    main()
