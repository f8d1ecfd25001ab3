"""A guest that ends badly behind the checks is told as what it was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from frame_harness.base.errors import HarnessError
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.judge.evidence import RunKey
from frame_harness.machine.definition import load_machines
from frame_harness.session.request import SessionRequest
from frame_harness.session.run import Run
from frame_harness.session.runs import Runs

MACHINES = ("q35", "microvm")
REQUEST = SessionRequest(
    subject=frame_module(), machines=load_machines(MACHINES), profiles=("dev",), any_machine=False
)


class FakePool:
    """A pool of which each closing can go wrong."""

    def __init__(self, wrong: str = "") -> None:
        self.closed, self._wrong = 0, wrong

    def close(self) -> None:
        self.closed += 1
        if self._wrong:
            raise HarnessError("guest", "exit", detail=self._wrong)


def runs_with(pool: FakePool) -> Runs:
    runs = Runs(REQUEST, lambda _: None, lambda: None)
    image = SimpleNamespace(sha256="a" * 64, build_id="b" * 8, subject=REQUEST.subject)
    for name in MACHINES:
        key = RunKey(machine=name, profile="dev")
        run = Run(key, cast("Any", image), REQUEST.machine(name))
        run.pool = cast("Any", pool)
        runs._runs[key] = run
    return runs


def test_a_pool_that_runs_share_is_closed_once_and_behind_all_of_them() -> None:
    pool = FakePool()
    assert runs_with(pool).finish(()).troubles == ()
    assert pool.closed == 1


def test_a_kept_guest_that_ends_badly_is_blamed_on_no_other_run() -> None:
    [trouble] = runs_with(FakePool("microvm/dev: QEMU was killed")).finish(()).troubles
    assert trouble.run is None
    assert "microvm/dev: QEMU was killed" in trouble.message
    assert "FRAME_HARNESS_NEW_GUESTS=1" in trouble.next
