"""What a worker says of a run that it cannot make."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from frame_harness.base.errors import HarnessError, MachineError
from frame_harness.campaigns.files import known
from frame_harness.campaigns.images import SentImage
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.judge.evidence import RunKey
from frame_harness.machine.definition import Machine, load_machine
from frame_harness.session import one_run
from frame_harness.session.one_run import RunTask, make_run
from frame_harness.session.request import SessionRequest


def task_on(machine: Machine) -> RunTask:
    subject = frame_module(None)
    request = SessionRequest(
        subject=subject, machines={machine.name: machine}, profiles=("release",), any_machine=False,
        evidence=True,
    )  # fmt: skip
    image = SentImage.of(build(subject, "release"))
    return RunTask(run=RunKey(machine=machine.name, profile="release"), request=request, image=image)


def test_a_worker_without_qemu_is_named() -> None:
    machine = load_machine("microvm").override(qemu="qemu-that-nobody-has")
    with pytest.raises(HarnessError, match="qemu-that-nobody-has: not found") as caught:
        make_run(task_on(machine))
    assert str(caught.value).startswith(f"worker: {platform.node()}: ")


def test_an_accelerator_that_does_not_work_there_is_told_and_nothing_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> Machine:
        raise MachineError("accelerator", "kvm", detail="no such thing", next_step="leave it out")

    task = task_on(load_machine("microvm"))
    elf = build(frame_module(None), "release").elf
    monkeypatch.setattr(one_run, "settled", refuse)
    with known({task.image.sha256: elf, task.request.subject.sha256: task.request.subject.path}):
        made = make_run(task)
    [trouble] = made.output.troubles
    assert (trouble.what, trouble.message, trouble.next) == (
        "accelerator",
        "kvm: no such thing",
        "leave it out",
    )
    assert made.results == () and made.facts is None


def test_a_file_that_nobody_has_ends_the_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_on(load_machine("microvm"))
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    with pytest.raises(HarnessError, match=r"file of a campaign: frame\.rs: expected content [0-9a-f]{64}"):
        make_run(task)
