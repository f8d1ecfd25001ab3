"""Where nothing fails, `debug` says what was looked at; no guest is needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from frame_harness.cli.debug import DebugRequest, debug, make_recording
from frame_harness.debugging import session
from frame_harness.judge.evidence import Outcome
from frame_harness.judge.exit_codes import ExitCode
from frame_harness.session.request import SessionRequest
from tests.unit.evidence_samples import healthy


class Suite:
    """Ends with some outcomes, a check each."""

    def __init__(self, *outcomes: Outcome, says: str = "") -> None:
        self._outcomes, self._says = outcomes, says

    def __call__(self, *_: Any, listener: Any, **__: Any) -> tuple[pytest.ExitCode, object]:
        for outcome in self._outcomes:
            listener.made = True
            listener._take(replace(healthy().checks[0], outcome=outcome, message=self._says))
        return pytest.ExitCode.OK, SimpleNamespace()


def request() -> DebugRequest:
    asked = cast(SessionRequest, SimpleNamespace())
    return cast(DebugRequest, SimpleNamespace(check="REF-01", of_a_session=lambda: asked))


@pytest.mark.parametrize(
    ("outcomes", "status", "words"),
    [
        ((Outcome.PASSED, Outcome.PASSED), ExitCode.PASS, "REF-01: nothing fails, 2 checks made\n"),
        ((Outcome.PASSED, Outcome.ABSENT), ExitCode.PASS, "REF-01: nothing fails, 1 check made, 1 absent\n"),
        ((Outcome.SKIPPED, Outcome.SKIPPED), ExitCode.NO_TESTS, "REF-01: nothing was looked at: 2 skipped\n"),
        ((Outcome.ABSENT,), ExitCode.NO_TESTS, "REF-01: nothing was looked at: 1 absent\n"),
        ((Outcome.NOT_EVALUATED,), ExitCode.NO_TESTS, "REF-01: nothing was looked at: 1 not-evaluated\n"),
    ],
)
def test_a_check_that_looked_at_nothing_is_no_pass(
    outcomes: tuple[Outcome, ...],
    status: ExitCode,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(session, "run_suite", Suite(*outcomes))
    assert debug(request(), "", before_last=False, vscode=None) is status
    assert capsys.readouterr().out == words
    assert make_recording(request()) is status


def test_why_a_check_was_not_evaluated_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = Suite(Outcome.NOT_EVALUATED, Outcome.NOT_EVALUATED, says="it is followed")
    monkeypatch.setattr(session, "run_suite", suite)
    assert debug(request(), "", before_last=False, vscode=None) is ExitCode.NO_TESTS
    assert capsys.readouterr().out == "REF-01: nothing was looked at: 2 not-evaluated (it is followed)\n"
