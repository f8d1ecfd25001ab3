"""The work of a campaign of mutants of a frame module, for processes that are forked for each task.

To import this module collects the suite once: so all that it imports is loaded in the process that is forked,
and each task collects it in half the time.
"""

from __future__ import annotations

from typing import Final

from frame_harness.frame_metadata.subject import frame_module
from frame_harness.machine.definition import DEFAULT_MACHINE, load_machines
from frame_harness.mutation_testing.judging import FrameTask, judge_mutant
from frame_harness.mutation_testing.records import JudgedMutant
from frame_harness.mutation_testing.suite import functions_of
from frame_harness.session.request import SessionRequest

COLLECTED: Final = functions_of(
    SessionRequest(
        subject=frame_module(),
        machines=load_machines([DEFAULT_MACHINE]),
        profiles=("release",),
        any_machine=True,
    )
)
"""The checks of one run, with the functions that each may find broken."""


def work(task: FrameTask) -> JudgedMutant:
    """Build and judge a mutant."""
    return judge_mutant(task)
