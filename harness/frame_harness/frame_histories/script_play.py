"""Plays the commands of a script as they stand."""

from __future__ import annotations

from frame_harness.frame_histories.history import HistoryFailure, play
from frame_harness.frame_histories.lockstep import LineRefused, Lockstep
from frame_harness.frame_histories.scripts import Script, unplayable
from frame_harness.frame_histories.steps import Step
from frame_harness.frame_metadata.model import ModelError


def play_script(lockstep: Lockstep, script: Script, where: str = "script") -> HistoryFailure | None:
    """Play the commands of a script as they stand.

    Raises:
        UsageError: names the line that nobody can play.
    """
    left = iter([Step(n, each.op, each.operands) for n, each in enumerate(script.commands)])
    last = 0

    def choose() -> Step | None:
        nonlocal last
        step = next(left, None)
        last = step.number if step else last
        return step

    try:
        return play(lockstep, choose)
    except ModelError as error:
        raise unplayable(where, script.lines[last], error.summary) from error
    except LineRefused as error:
        raise unplayable(where, script.lines[last], error.detail) from error
    except LookupError as error:
        detail = "it leads to something that the model does not know"
        raise unplayable(where, script.lines[last], detail) from error
