"""Groups of outcomes do not overlap, and a new outcome has to be put somewhere."""

from frame_harness.judge.evidence import WELL, Outcome
from frame_harness.judge.reason import BROKEN_OFF


def test_a_check_is_well_or_came_to_no_end_or_says_what_is_wrong_or_not_known() -> None:
    assert WELL.isdisjoint(BROKEN_OFF)
    assert set(Outcome) - WELL - {*BROKEN_OFF} == {Outcome.VIOLATED, Outcome.NOT_EVALUATED}
