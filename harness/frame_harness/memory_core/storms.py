"""Storms of a case: several CPUs work on the core at once, and what they left is judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from frame_harness.base.units import Paddr, paddr_to_pfn, pfn_to_paddr
from frame_harness.memory_core import judging
from frame_harness.memory_core.functions import ALLOC
from frame_harness.memory_core.judging import CoreViolation, Key, Owned
from frame_harness.memory_core.maps import length
from frame_harness.memory_core.playing import ASIDE, Playing
from frame_harness.memory_core.state import KINDS, CoreState
from frame_harness.memory_core.steps import MOST_FILLED, CaseStorm

STORM_CPU_S: Final = 60.0
"""Of a storm: CPUs that wait for a lock use CPU time, too."""
AMPLE_BYTES: Final = 32 << 20
"""A storm does not take all of so much memory: its CPUs hardly ever hold more than 15 MiB."""


def storm(step: CaseStorm, play: Playing, before: CoreState) -> Iterator[CoreViolation]:
    """What one CPU breaks alone breaks the clause of that; what several break, theirs.

    A panic may be about a block that should not have been given. With every second seed such blocks are held
    meanwhile, so that a panic that has nothing to do with them is told.
    """
    if play.accepted.given_up and length(play.memory.usable) < AMPLE_BYTES:
        return  # CPUs would write to what the core still needs, which is a fault of its own
    if play.cpu:
        play.ask("core.cpu 0")
        play.cpu = 0
    play.function, alone = ALLOC, step.cpus == 1
    if step.seed % 2 == 0:
        before = _set_misaligned_aside(play, before)
        if play.over:
            return
    there = {one.key for one in play.of(before)}
    what = f"{step.cpus} CPUs at once, {step.turns} requests each"
    reply = play.ask(f"core.storm {step.cpus} {step.turns} {step.seed}", STORM_CPU_S)
    if reply.status == "panic" and any(map(judging.is_misaligned, before.blocks)):
        play.over = True
        return
    if reply.status == "panic":
        clause = "CORE-09" if alone else "CORE-21"
        yield play.panicked(clause, what, "each allocation and each free returns", reply)
        return
    owners = "CORE-14" if alone else "CORE-21"
    play.core.looked_at |= ({"CORE-09"} if alone else set()) | ({owners} if reply["allocated"] else set())
    if play.watch is not None:
        play.watch.forget_bytes()
    if reply["violations"]:
        play.over, cause = True, "a frame in two hands"
        got = f"{cause}, {reply['violations']} times"
        yield CoreViolation(owners, what, "one owner", got, Paddr(reply["paddr"]), cause)
    yield from _left_by(what, play, there, alone=alone)


def _left_by(what: str, play: Playing, there: set[Key], *, alone: bool) -> Iterator[CoreViolation]:
    """What is wrong behind a storm, all of whose blocks are freed."""
    found = [*play.judged(), *play.all_freed()]
    for one in [*found, *(play.totals(play.state) if play.state is not None else ())]:
        if alone or one.key in there or one.key in play.known:
            yield one
        else:
            play.over, got = True, f"{one.what}: {one.got}"
            yield CoreViolation("CORE-21", f"after {what}", one.expected, got, one.paddr, one.clause)


def _set_misaligned_aside(play: Playing, before: CoreState) -> CoreState:
    """Take all memory, give back what did not begin at a wrong place; the state then, or the one before.

    Nothing of it is judged: other cases ask for the same blocks.
    """
    wrong = [(block.pfn, block.end) for block in before.blocks if judging.is_misaligned(block)]
    kinds = KINDS[: 1 + play.core.offers("kinds")] if wrong else ()
    taken: list[Owned] = []
    for order in range(before.max_order, -1, -1):
        for kind in kinds:
            reply = play.ask(f"core.fill {order} {kind} any {MOST_FILLED}")
            taken += [Owned(paddr_to_pfn(Paddr(int(line, 0))), order, kind) for line in reply.data]
    aside = [one for one in taken if any(one.pfn < end and first < one.end for first, end in wrong)]
    frees = [f"core.free {pfn_to_paddr(one.pfn):#x} {one.order}" for one in taken if one not in aside]
    if any(reply.status != "ok" for reply in play.ask_all(frees)):
        play.over = True  # nobody knows what is held; the other cases free the same blocks
    if taken:
        play.owned[ASIDE] = aside
        return play.core.state(play.first)
    return before
