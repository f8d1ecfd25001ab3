"""Proves that every guest that a run booted has an end in its record, whatever passes on the way."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frame_harness.base.errors import MachineError, UsageError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.boot_options import BootOptions
from frame_harness.guest.errors import GuestCrashed
from frame_harness.judge.evidence import RunKey
from frame_harness.session.run import Run

PASSED = GuestEnd.PASS, "the guest reported success"


@dataclass
class FakeKernel:
    """A guest that ends well, unless it is told to break down."""

    breaks_down: Exception | None = None
    no_version: Exception | None = None
    failure: Exception | None = None
    finished: int = 0
    dumps_requested: int = 0
    dumps_whole: int = 0
    was_put_back: bool = False
    prompt: object = None

    @property
    def machine(self) -> Any:
        return SimpleNamespace(accel="tcg")

    @property
    def guest(self) -> Any:
        return self

    def qmp(self, _: str) -> Any:
        if self.no_version:
            raise self.no_version
        return {"qemu": {"major": 7, "minor": 2, "micro": 0}}

    def finish(self) -> None:
        self.finished += 1
        if self.breaks_down:
            raise self.breaks_down

    @property
    def end(self) -> tuple[GuestEnd, str]:
        if self.breaks_down:
            return GuestEnd.SIGNALED, "unknown"
        return PASSED


@pytest.fixture
def run() -> Run:
    image = SimpleNamespace(sha256="a" * 64, build_id="b" * 8, subject=SimpleNamespace(sha256="c" * 64))
    machine = SimpleNamespace(accel="kvm")  # under which no guest is put back
    return Run(RunKey(machine="m", profile="dev"), cast("Any", image), cast("Any", machine))


@pytest.fixture
def next_guests(monkeypatch: pytest.MonkeyPatch) -> list[FakeKernel | Exception]:
    """What the next boots come to."""
    queue: list[FakeKernel | Exception] = []

    def boot(*_: Any, **__: Any) -> FakeKernel:
        coming = queue.pop(0)
        if isinstance(coming, Exception):
            raise coming
        return coming

    monkeypatch.setattr(Kernel, "start", boot)
    return queue


def booted_and_ended(run: Run) -> tuple[int, int]:
    ledger = run.ledger()
    return ledger.guests_booted, sum(entry.count for entry in ledger.exits)


def test_a_guest_whose_end_breaks_down_is_on_record_as_no_pass(run: Run, next_guests: list[Any]) -> None:
    next_guests.append(FakeKernel(breaks_down=OSError("no more descriptors")))
    kernel = run.boot()
    with pytest.raises(OSError, match="no more descriptors"):
        run.finish(kernel)
    assert booted_and_ended(run) == (1, 1)
    assert [entry.got for entry in run.ledger().exits] == [GuestEnd.SIGNALED]


def test_a_guest_that_nobody_finished_is_finished_with_the_session(run: Run, next_guests: list[Any]) -> None:
    left = [FakeKernel(), FakeKernel(breaks_down=OSError("first")), FakeKernel()]
    next_guests += left
    for _ in left:
        run.boot()
    with pytest.raises(OSError, match="first"):
        run.finish_all()
    assert [kernel.finished for kernel in left] == [1, 1, 1]
    assert booted_and_ended(run) == (3, 3)


def test_a_guest_that_is_finished_twice_counts_once(run: Run, next_guests: list[Any]) -> None:
    next_guests.append(FakeKernel())
    kernel = run.boot()
    assert run.finish(kernel) is run.finish(kernel) is GuestEnd.PASS
    run.finish_all()
    assert booted_and_ended(run) == (1, 1)


def test_a_guest_of_which_qemu_tells_no_version_is_ended(run: Run, next_guests: list[Any]) -> None:
    lost = FakeKernel(no_version=MachineError("qemu monitor", "query-version", detail="the connection ended"))
    next_guests.append(lost)
    with pytest.raises(MachineError):
        run.boot()
    assert lost.finished == 1
    assert booted_and_ended(run) == (1, 1)


def test_a_guest_that_crashed_at_boot_is_booted_and_ended(run: Run, next_guests: list[Any]) -> None:
    next_guests += [GuestCrashed("panic", detail="early", status=GuestEnd.PANIC), MachineError("qemu")]
    with pytest.raises(GuestCrashed):
        run.boot()
    with pytest.raises(MachineError):
        run.boot()
    assert booted_and_ended(run) == (1, 1)


def test_no_guest_of_a_run_has_garbage_of_somebody_s_choice(run: Run) -> None:
    with pytest.raises(UsageError, match="garbage of its own"):
        run.boot(BootOptions(seed=7))
