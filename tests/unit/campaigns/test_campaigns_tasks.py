"""A task that dies, hangs or eats all memory costs itself alone, and leaves nothing."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.parent import die_with_parent
from frame_harness.campaigns.done import LossReason
from frame_harness.campaigns.task_server import IDLE, TaskWatch
from frame_harness.campaigns.tasks import Came, Ended, Fetched, Raised, TaskOutcome, Wanted, Work
from frame_harness.campaigns.usage import Usage, usage_of
from frame_harness.campaigns.worker_plugin import Server
from tests.support.campaign_tasks import LIMIT_S, MIB, Job, Kind, act
from tests.support.doors import GONE_S, ROOT, SOURCES


class Served:
    """A process for tasks, as a worker has it."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def do(self, kind: Kind, n: int = 3, *, where: str = "", limit_mib: int | None = None) -> TaskOutcome:
        limit = None if limit_mib is None else limit_mib * MIB
        return self.server.do(pickle.dumps(Job(kind=kind, n=n, where=where)), limit, fetched)


def fetched(wanted: Wanted) -> Fetched:
    return Fetched("", f"nobody has {wanted.name}")


@contextmanager
def serving() -> Iterator[Served]:
    server = Server(pickle.dumps(Work(act, {}, LIMIT_S)))
    try:
        yield Served(server)
    finally:
        server.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as one:
        yield one


def holds(served: Served) -> bool:
    return served.do(Kind.SQUARE) == Came(b'{"n":9}')


def test_a_task_that_hangs_is_ended_and_the_next_one_comes(served: Served) -> None:
    outcome = served.do(Kind.HANG)
    assert isinstance(outcome, Ended) and outcome.reason is LossReason.HUNG
    assert f"no result after {LIMIT_S:g} s" in outcome.detail
    assert holds(served)


def test_a_task_that_is_ended_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving() as served:
        for kind in (Kind.HANG, Kind.DIE):
            assert isinstance(served.do(kind), Ended)
            assert list(tmp_path.iterdir()) == []
        assert holds(served)


def test_a_task_that_eats_memory_is_ended_and_the_next_one_comes(served: Served) -> None:
    outcome = served.do(Kind.EAT, 300, limit_mib=200)
    assert isinstance(outcome, Ended) and outcome.reason is LossReason.MEMORY
    assert holds(served)


def test_a_task_knows_how_much_memory_it_may_still_use(served: Served) -> None:
    outcome = served.do(Kind.MEMORY_LEFT, limit_mib=1 << 20)
    assert isinstance(outcome, Came)
    assert (1 << 20) - 1000 < msgspec.json.decode(outcome.result)["n"] // MIB < 1 << 20
    assert served.do(Kind.MEMORY_LEFT) == Came(b'{"n":-1}')


def test_a_task_that_gets_no_memory_says_so(served: Served) -> None:
    outcome = served.do(Kind.NO_MEMORY)
    assert isinstance(outcome, Ended) and outcome.reason is LossReason.MEMORY


def test_a_task_that_dies_says_how(served: Served) -> None:
    outcome = served.do(Kind.DIE)
    assert isinstance(outcome, Ended) and outcome.reason is LossReason.DIED and "was killed" in outcome.detail
    assert holds(served)


def test_what_the_work_raises_is_raised_in_the_command(served: Served) -> None:
    outcome = served.do(Kind.REFUSE)
    assert isinstance(outcome, Raised)
    error = outcome.again()
    assert isinstance(error, UsageError) and error.next_step == "choose another"


def test_a_bug_keeps_its_trace_for_who_reports_it(served: Served) -> None:
    outcome = served.do(Kind.BUG)
    assert isinstance(outcome, Raised)
    error = outcome.again()
    assert isinstance(error, ZeroDivisionError) and "in act" in error.__notes__[0]


def test_a_task_that_asks_for_a_status_does_not_end_the_command_with_it(served: Served) -> None:
    outcome = served.do(Kind.EXIT, 0)
    assert isinstance(outcome, Raised)
    error = outcome.again()
    assert isinstance(error, HarnessError)
    assert error.summary == "task: its work ended with SystemExit 0"
    assert holds(served)


def test_what_a_task_started_is_gone_with_it(served: Served) -> None:
    outcome = served.do(Kind.LEAVE)
    assert isinstance(outcome, Came)
    assert not psutil.pid_exists(int(outcome.result[len('{"n":') : -1]))


def test_a_file_that_nobody_has_is_an_error_of_the_task(served: Served) -> None:
    outcome = served.do(Kind.FILE, where="0" * 64)
    assert isinstance(outcome, Raised)
    assert "got nobody has file.txt" in str(outcome.again())


def test_tasks_end_with_the_worker() -> None:
    with serving() as served:
        assert holds(served)
        server = psutil.Process(served.server.pid)
        served.server.hang_up()
        assert psutil.wait_procs([server], timeout=GONE_S)[1] == []


WORKER = """
import pickle, sys
from frame_harness.campaigns.tasks import Work
from frame_harness.campaigns.worker_plugin import Server
from tests.support.campaign_tasks import Job, Kind, act
server = Server(pickle.dumps(Work(act, {}, 600.0)))
job = Job(kind=Kind.ANNOUNCE, where=sys.argv[1])
server._connection.send((pickle.dumps(job), None))
print(server.pid, flush=True)
server._process.wait()
"""


def test_a_worker_that_is_killed_leaves_no_process_and_no_folder_of_its_task(tmp_path: Path) -> None:
    fifo, place = tmp_path / "fifo", tmp_path / "tmp"
    os.mkfifo(fifo)
    place.mkdir()
    env = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": f"{SOURCES}:{ROOT}"}
    argv = [sys.executable, "-c", WORKER, str(fifo)]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        server = psutil.Process(int(worker.stdout.readline()))
        task = psutil.Process(int(fifo.read_text()))
        assert len(list(place.glob("frame-harness-task-*/*"))) == 1
        worker.kill()
    assert psutil.wait_procs([server, task], timeout=GONE_S)[1] == []
    assert list(place.iterdir()) == []


def test_work_that_cannot_be_imported_is_told() -> None:
    server = Server(pickle.dumps(Work(act, {}, LIMIT_S)).replace(b"campaign_tasks", b"campaign_nothing"[:14]))
    try:
        outcome = server.do(pickle.dumps(Job()), None, fetched)
    finally:
        server.close()
    assert isinstance(outcome, Raised) and isinstance(outcome.again(), ImportError)


def test_memory_that_two_processes_share_counts_once() -> None:
    before = usage_of(os.getpid()).n_bytes
    shared = bytearray(64 * MIB)
    shared[::4096] = b"1" * (64 * MIB // 4096)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(theirs, b"1")
        signal.pause()
    try:
        os.read(ours, 1)
        assert 48 * MIB < usage_of(os.getpid()).n_bytes - before < 100 * MIB
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ours)
        os.close(theirs)


LIMIT = 10.0


@pytest.mark.parametrize(
    ("looks", "ends"),
    [
        ([(9.9, 9.9), (10.1, 10.0)], "hung"),  # it works, and needs too long
        ([(5.0, 0.0), (10.1, 0.1)], "hung"),  # it waits for something that does not come
        ([(10.1, 2.0), (20.3, 4.0), (29.0, 6.0)], ""),  # a busy host
        ([(10.1, 2.0), (20.3, 2.1)], "hung"),  # a busy host, then it waits
        ([(10.1, 2.0), (20.3, 9.0), (30.5, 10.5)], "hung"),
    ],
)
def test_a_busy_host_makes_a_task_slower_but_lets_it_not_hang(
    looks: list[tuple[float, float]], ends: str
) -> None:
    watch = TaskWatch(LIMIT, None, 0.0)
    *before, last = [watch.over(Usage(cpu_s, 0), now) for now, cpu_s in looks]
    assert before == [None] * len(before)
    assert (last.reason if last else "") == ends
    assert IDLE * LIMIT > 0.1


def test_a_task_that_gets_no_cpu_at_all_on_a_busy_host_is_not_taken_for_a_hung_one() -> None:
    watch = TaskWatch(LIMIT, None, 0.0)
    # A guest that ended is waited for no more; what it used counts.
    assert watch.over(Usage(0.1, 0, waited_s=99.0), 10.1) is None
    assert watch.over(Usage(1.1, 0, waited_s=0.0), 20.3) is None
    watch = TaskWatch(LIMIT, None, 0.0)
    assert watch.over(Usage(0.1, 0, waited_s=9.9), 10.1) is None
    assert watch.over(Usage(0.2, 0, waited_s=10.0), 20.3) is not None, (
        "since then it waits for something else"
    )


def test_how_long_a_process_could_have_run_is_seen() -> None:
    cpu = min(os.sched_getaffinity(0))
    ours, theirs = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            die_with_parent(parent)
            os.sched_setaffinity(0, {cpu})
            os.write(theirs, b"1")
            while True:
                pass
        finally:
            os._exit(1)
    before = os.sched_getaffinity(0)
    try:
        os.read(ours, 1)
        os.sched_setaffinity(0, {cpu})
        began = usage_of(child).waited_s
        end = time.thread_time() + 0.1
        while time.thread_time() < end:  # this process has that CPU meanwhile, and the child waits
            pass
        assert usage_of(child).waited_s > began
    finally:
        os.sched_setaffinity(0, before)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ours)
        os.close(theirs)


def test_memory_beyond_the_limit_is_told_with_both_numbers() -> None:
    over = TaskWatch(LIMIT, 100 * MIB, 0.0).over(Usage(0.0, 101 * MIB), 0.1)
    assert over == Ended(LossReason.MEMORY, "101 MiB, of 100 MiB that the worker has")
    assert TaskWatch(LIMIT, None, 0.0).over(Usage(0.0, 101 * MIB), 0.1) is None


def test_a_process_that_ends_while_it_is_looked_at_waited_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(path: Path) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "scandir", gone)
    assert usage_of(os.getpid()).waited_s == 0
