"""What the frame module's contract says of two operations at once, as the engine takes it."""

from typing import Final

from frame_harness.frame_races import blame, scenes
from frame_harness.frame_races.frame import FrameInAGuest
from frame_harness.frame_races.operations import ALLOCATES, CALLS
from frame_harness.races.rules import RaceRules

RULES: Final = RaceRules(
    calls=CALLS,
    take=FrameInAGuest,
    in_use=scenes.IN_USE,
    offered=scenes.OFFERED,
    variants=scenes.VARIANTS,
    clause_of=blame.clause_of,
    clause_of_life=blame.clause_of_life,
    clauses_of_life=blame.CLAUSES_OF_LIFE,
    clauses=blame.CLAUSES,
    in_steps=blame.IN_STEPS,
    left_behind=blame.LEFT_BEHIND,
    on_a_free_frame=blame.ON_A_FREE_FRAME,
    allocates=ALLOCATES,
)
