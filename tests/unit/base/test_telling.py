"""What is said once reaches somebody who still hears it: a session takes its voice along when it ends."""

from __future__ import annotations

import pytest

from frame_harness.base.commands import TOLD, tell_once, telling_through
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.machine.definition import load_machines
from frame_harness.session.request import SessionRequest
from frame_harness.session.suite import run_suite


@pytest.fixture(autouse=True)
def nothing_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOLD, "")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def test_who_hears_it_is_who_asked_last_and_has_not_ended() -> None:
    outer: list[str] = []
    inner: list[str] = []
    with telling_through(outer.append):
        with pytest.raises(KeyError), telling_through(inner.append):
            tell_once("within")
            raise KeyError
        tell_once("behind it")
    assert (outer, inner) == (["note: behind it"], ["note: within"])


def test_what_is_said_behind_a_session_is_heard_by_who_ran_it() -> None:
    heard: list[str] = []
    request = SessionRequest(
        subject=frame_module(), machines=load_machines(["microvm"]), profiles=("dev",), any_machine=True
    )
    with telling_through(heard.append):
        status, session = run_suite(request, "--collect-only", "-k", "CONST-01")
        tell_once("the disk is full")
    assert (status, session is not None, heard) == (0, True, ["note: the disk is full"])
