"""A command that waits for workers ends by itself when none can come to its tasks, and by Ctrl-C at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.campaigns import on_cluster
from frame_harness.campaigns.on_cluster import OnCluster
from frame_harness.campaigns.tasks import Came
from frame_harness.campaigns.worker_plugin import COMPILER, package_resource

OURS = {package_resource(): 1.0}
OTHERS = {"frame-harness 0.0.1": 1.0}
WITH_COMPILER = {COMPILER: 1.0}


@dataclass
class Task:
    """What dask knows of a task, which may have ended on a worker that is gone."""

    result_of: Callable[[], Any]
    status: str = "finished"

    def add_done_callback(self, call: Callable[[Task], None]) -> None:
        if self.status != "pending":
            call(self)

    def result(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "nobody may wait without limit"
        return self.result_of()


@dataclass
class Cluster:
    """A client of workers that offer these resources."""

    workers: list[dict[str, float]]
    task: Task
    status: str = "running"
    looked: int = field(default=0, init=False)

    def submit(self, *_: Any, **__: Any) -> Task:
        return self.task

    def scheduler_info(self, **_: Any) -> dict[str, Any]:
        self.looked += 1
        assert self.looked < 1000, "it waits for ever"
        return {
            "workers": {str(at): {"nthreads": 1, "resources": one} for at, one in enumerate(self.workers)}
        }


@pytest.fixture(autouse=True)
def _time_flies(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 5.0)
    monkeypatch.setattr(on_cluster, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(on_cluster, "LOOK_S", 0.001)


def asked(cluster: Any, *, needs_compiler: bool = False) -> OnCluster:
    found = OnCluster(cluster, "tcp://x:1", shares_files=True)
    found.start("1", b"", needs_compiler=needs_compiler)
    return found


def interrupted() -> None:
    raise KeyboardInterrupt


def late() -> None:
    raise TimeoutError


@pytest.mark.parametrize("status", ["finished", "lost", "cancelled"])
def test_ctrl_c_while_a_result_comes_is_no_lost_scheduler(status: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        asked(Cluster([OURS], Task(interrupted, status))).ended()


def test_a_result_whose_worker_went_away_with_it_is_waited_for_no_longer_than_workers_are() -> None:
    with pytest.raises(
        HarnessError, match="scheduler: tcp://x:1: has had no workers of this version for 60 s"
    ):
        asked(Cluster([], Task(late))).ended()


def test_a_result_that_comes_late_is_taken_as_long_as_there_are_workers() -> None:
    lates = iter(range(3))

    def at_last() -> Came:
        for _ in lates:
            raise TimeoutError
        return Came(b"1")

    cluster = Cluster([OURS], Task(at_last))
    assert asked(cluster).ended() == ("1", Came(b"1"))
    assert cluster.looked > 1


def test_a_task_that_the_scheduler_lost_is_one_message() -> None:
    def cancelled() -> None:
        raise RuntimeError

    with pytest.raises(HarnessError, match="scheduler: tcp://x:1: is gone"):
        asked(Cluster([OURS], Task(cancelled, "cancelled"))).ended()


def none_comes() -> None:
    raise AssertionError("nobody can do the task")


@pytest.mark.parametrize(
    "workers",
    [[OURS], [OURS, OTHERS | WITH_COMPILER], [OURS, WITH_COMPILER]],
    ids=["none", "another version", "no version"],
)
def test_a_task_that_needs_a_compiler_needs_a_worker_that_has_both(workers: list[dict[str, float]]) -> None:
    cluster = Cluster(workers, Task(none_comes, "pending"))
    with pytest.raises(
        HarnessError, match="no worker of this version with a Rust toolchain for 60 s"
    ) as caught:
        asked(cluster, needs_compiler=True).ended()
    assert caught.value.next_step == "start some, and go on with --resume"


def test_a_task_that_needs_a_compiler_is_waited_for_while_a_worker_has_both() -> None:
    cluster = Cluster([OURS, OURS | WITH_COMPILER], Task(none_comes, "pending"))
    running = asked(cluster, needs_compiler=True)
    look = cluster.scheduler_info

    def info(**_: Any) -> dict[str, Any]:
        if cluster.looked == 100:
            raise InterruptedError  # enough: far more than the patience
        return look()

    cluster.scheduler_info = info  # type: ignore[method-assign]
    with pytest.raises(HarnessError, match="is gone"):
        running.ended()
    assert cluster.looked == 100
