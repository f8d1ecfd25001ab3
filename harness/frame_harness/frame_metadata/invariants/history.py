"""Invariants of a state against an earlier one, or against what was planted in it."""

from __future__ import annotations

import numpy as np

from frame_harness.base.units import Pfn
from frame_harness.contract.invariant import MAX_COUNTEREXAMPLES, Invariant, Sighting, frames_finding
from frame_harness.frame_metadata.invariants.columns import Columns

HALF_TURN = np.uint32(1 << 31)


def generation_forward(columns: Columns) -> Sighting:
    """Judge W-GENERATION-FORWARD; looks at slots that both states have, at none without an earlier one."""
    past = columns.previous
    if past is None:
        return Sighting(0)
    generation = columns.swept.generation
    common = min(columns.n_frames, len(past.generation))
    # Modulo 2^32 a step back by a little is a step forward by nearly a full turn.
    steps = generation[:common] - past.generation[:common]
    return frames_finding(
        common,
        np.flatnonzero(steps >= HALF_TURN),
        lambda pfn: (
            "generation",
            f"from {int(past.generation[pfn]):#x} on",
            f"{int(generation[pfn]):#x}",
        ),
    )


def poison_stays(columns: Columns) -> Sighting:
    """Judge W-POISON-STAYS; looks at frames that were poisoned earlier, and that nobody held then."""
    past = columns.previous
    if past is None:
        return Sighting(0)
    generation, guard = columns.swept.generation, columns.slots["guard"]
    common = min(columns.n_frames, len(past.generation))
    pfns = np.flatnonzero(past.poisoned[:common])
    healed = guard[pfns] & np.uint32(columns.constants.guard_poisoned) == 0
    reborn = generation[pfns] != past.generation[pfns]
    return frames_finding(
        len(pfns),
        pfns[healed | reborn],
        lambda pfn: (
            "guard",
            f"POISONED, generation {int(past.generation[pfn]):#x}, as before",
            f"{int(guard[pfn]):#x}, generation {int(generation[pfn]):#x}",
        ),
    )


def payload_untouched(columns: Columns) -> Sighting:
    """Judge W-PAYLOAD-CANARY; looks at filled frames that are free now, at none without a canary."""
    canary = columns.state.canary
    if canary is None:
        return Sighting(0)
    known = (canary.pfns >= 0) & (canary.pfns < columns.n_frames)
    still_free = known.copy()
    still_free[known] = columns.swept.free[canary.pfns[known]]
    bad = np.flatnonzero(still_free & (canary.found != canary.expected))
    examples = tuple(
        (
            Pfn(int(canary.pfns[at])),
            "payload",
            f"digest {int(canary.expected[at]):#x} of its fill",
            f"{int(canary.found[at]):#x}",
        )
        for at in bad[:MAX_COUNTEREXAMPLES]
    )
    return Sighting(int(np.count_nonzero(still_free)), len(bad), examples)


INVARIANTS = (
    Invariant(
        "W-GENERATION-FORWARD",
        ("GEN-01", "GEN-02", "GEN-03"),
        holds="for every slot: (generation - earlier generation) mod 2^32 < 2^31",
        blind_to="steps that are too many; 2^31 claims of one frame between the two states",
        evaluate=generation_forward,
        needs_previous=True,
    ),
    Invariant(
        "W-POISON-STAYS",
        ("GUARD-07", "GUARD-08"),
        holds="guard POISONED earlier, while nobody held the frame => still POISONED, same generation",
        blind_to="frames that were held when the earlier state was taken: their holder may clear the guard; "
        "where the quarantine is not named, refcount 0 counts as held by nobody",
        evaluate=poison_stays,
        needs_previous=True,
    ),
    Invariant(
        "W-PAYLOAD-CANARY",
        ("FREE-01",),
        holds="for every filled frame that is FREE: digest of its 4 KiB == digest of the fill",
        blind_to="frames that were not filled, bytes that were changed and put back, frames not free now",
        evaluate=payload_untouched,
    ),
)
