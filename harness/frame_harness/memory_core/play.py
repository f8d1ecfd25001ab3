"""Carries a case out on a core, and judges each of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from frame_harness.guest.errors import GuestFailure
from frame_harness.memory_core.clauses import LASTING
from frame_harness.memory_core.failure import Failure, of_a_dead_guest
from frame_harness.memory_core.guest import CoreGuest
from frame_harness.memory_core.judging import Key
from frame_harness.memory_core.operations import OPERATIONS
from frame_harness.memory_core.playing import Playing
from frame_harness.memory_core.steps import CaseOperation, CaseStep, map_of, operations_of


def play(core: CoreGuest, steps: Sequence[CaseStep], known: Iterable[Key] = ()) -> Failure | None:
    """Carry a case out on a core that has not started; returns the first thing that is wrong.

    Args:
        known: faults that do not end a case, as far as the core can be judged behind them.
    Raises:
        HarnessError: the harness broke down.
    """
    playing = Playing(core, map_of(steps), frozenset(key for key in known if key[0] in LASTING))
    done: list[CaseStep] = [step for step in steps if not isinstance(step, CaseOperation)]
    try:
        found = playing.first_new(playing.start())
        for step in operations_of(steps):
            if found is not None or playing.over or playing.state is None:
                break
            done.append(step)
            playing.step = step
            found = playing.first_new(OPERATIONS[type(step)](step, playing, playing.state))
        core.steps_done = len(operations_of(done))
    except GuestFailure as failure:
        return of_a_dead_guest(
            done, core.last_request, playing.function, playing.commands, playing.behind, failure,
            core.design.innermost(failure.backtrace),
        )  # fmt: skip
    if found is None:
        return None
    return Failure(
        tuple(done), found, playing.blamed or playing.function, playing.panicked_at, tuple(playing.commands),
        playing.backtrace, tuple(playing.behind),
    )  # fmt: skip
