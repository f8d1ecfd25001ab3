"""What the harness, not the subject, did wrong is done again when a campaign goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.base.disk import Unwritable
from frame_harness.base.errors import HarnessError, ImageError
from frame_harness.campaigns.images import SentImage
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.judge.evidence import Outcome, RunKey, Trouble
from frame_harness.machine.definition import load_machine
from frame_harness.memory_core import following
from frame_harness.memory_core import spread as core_spread
from frame_harness.memory_core.builtin import builtin_core
from frame_harness.memory_core.following import AskedOf, VersionAsk, plan_of, play_sent
from frame_harness.memory_core.spread import BuildMade
from frame_harness.memory_core.worker import Judged
from frame_harness.session.one_run import RunMade
from frame_harness.session.run import Ledger
from frame_harness.session.runs import WorkerOutput
from frame_harness.session.spread import is_final
from tests.support.mutant_samples import INC, result


def run_of(*outcomes: Outcome, troubles: tuple[Trouble, ...] = ()) -> RunMade:
    results = tuple(result(INC, outcome) for outcome in outcomes)
    output = WorkerOutput(planned=(), ledgers=(), troubles=troubles)
    return RunMade(results=results, met=(), output=output, facts=None)


def test_a_run_in_which_a_check_came_to_an_error_is_made_again() -> None:
    assert not is_final(run_of(Outcome.PASSED, Outcome.ERROR))
    assert not is_final(run_of(Outcome.PASSED, troubles=(Trouble(what="qemu", message="killed"),)))


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.ERROR])
def test_a_run_in_which_the_subject_alone_went_wrong_is_kept(outcome: Outcome) -> None:
    assert is_final(run_of(outcome))
    assert is_final(run_of(troubles=(Trouble(what="boot", message="seen", outcome=outcome),)))


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_build_of_a_core_is_judged_again_where_the_harness_went_wrong(outcome: Outcome) -> None:
    final = core_spread.plan_of(builtin_core(), load_machine()).is_final
    run = RunKey("microvm", "dev")
    ledger = Ledger(run=run, image_sha256="a" * 64, build_id="b" * 8, subject_sha256="c" * 64)
    judged = Judged(ledger=ledger, results=(result(INC, Outcome.PASSED), result(INC, outcome)))
    trouble = Trouble(what="memory core", message="seen", outcome=outcome)
    kept = outcome is not Outcome.ERROR
    assert (final(BuildMade(judged=judged)), final(BuildMade(trouble=trouble))) == (kept, kept)


@pytest.mark.parametrize(
    ("error", "final"), [(ImageError("symbol", "x"), True), (Unwritable(Path("/x"), 28), False)]
)
def test_a_version_that_could_not_be_played_is_played_again(
    error: HarnessError, final: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(following, "play_asked", fail)
    image, machine = build(frame_module(), "release"), load_machine()
    monkeypatch.setattr(SentImage, "image", lambda *_: image)
    seen = play_sent(
        VersionAsk(image=SentImage.of(image), machine=machine, asked=AskedOf(cases=(), survey=False))
    )
    assert seen.sightings is None and error.summary in seen.why_not
    assert plan_of(machine).is_final(seen) is final
