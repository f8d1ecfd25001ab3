"""Workers that die, commands that are stopped: the results are those of a campaign that nobody disturbed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import select
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from distributed import Client

from frame_harness.base.errors import HarnessError, MissingToolError, UsageError
from frame_harness.campaigns import dask_settings, on_cluster
from frame_harness.campaigns.cluster import require_answer, scratch
from frame_harness.campaigns.done import Lost
from frame_harness.campaigns.engine import campaign
from frame_harness.campaigns.plan import Settings
from frame_harness.judge.exit_codes import ExitCode
from tests.support.campaign_tasks import Job, Kind, Request, plan_of
from tests.support.clusters import PROGRAM, remote, scheduler
from tests.support.doors import GONE_S, PATIENCE_S, SOURCES, Door, announced, write_machine

COMMAND = (sys.executable, "-c", "from tests.support.campaign_tasks import main; main()")


def squares(count: int) -> dict[str, Job]:
    return {str(n): Job(n=n) for n in range(count)}


def kept(folder: Path) -> list[tuple[str, object]]:
    """Each result that is kept, in the order in which it came."""
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return [(line["key"], line.get("result")) for line in lines if "lost" not in line]


def undisturbed(jobs: dict[str, Job]) -> dict[str, object]:
    """What one worker that nobody disturbs comes to."""
    with campaign(plan_of(), Settings(0, None, None, False, None)) as running:
        for key, job in jobs.items():
            running.submit(key, job)
        return {done.key: msgspec.to_builtins(done.result) for done in running.results()}


def worker_processes() -> list[psutil.Process]:
    """Those that live: one that was killed has no command line until it is waited for."""
    found = []
    for one in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one of these
            if "multiprocessing.spawn" in " ".join(one.cmdline()):
                found.append(one)
    return found


def test_two_of_four_workers_are_killed_and_the_results_are_those_of_one(tmp_path: Path) -> None:
    jobs, ends = squares(120), (Kind.HANG, Kind.DIE, Kind.NO_MEMORY)
    moments = sorted(random.SystemRandom().sample(range(1, len(jobs)), 2))
    settings = Settings(4, None, tmp_path, False, None)
    lost = {}
    with campaign(plan_of(), settings) as running:
        for kind in ends:
            running.submit(kind, Job(kind=kind))
        for key, job in jobs.items():
            running.submit(key, job)
        for count, done in enumerate(running.results()):
            if isinstance(done.result, Lost):
                lost[done.key] = str(done.result.reason)
            if count in moments:
                random.choice(worker_processes()).kill()
    assert worker_processes() == []
    assert lost == {"hang": "hung", "die": "died", "no memory": "out of memory"}, moments
    assert Counter(key for key, _ in kept(tmp_path)) == Counter(jobs.keys()), f"killed at {moments}"
    assert dict(kept(tmp_path)) == undisturbed(jobs)
    assert running.progress.again >= len(ends)


def test_the_only_worker_is_killed_and_the_one_that_comes_instead_goes_on(tmp_path: Path) -> None:
    jobs = squares(40)
    with campaign(plan_of(), Settings(1, None, tmp_path, False, None)) as running:
        for key, job in jobs.items():
            running.submit(key, job)
        for count, _ in enumerate(running.results()):
            if count == 10:
                for process in worker_processes():
                    process.kill()
    assert dict(kept(tmp_path)) == undisturbed(jobs)


def command(folder: Path, request: Request) -> Door:
    return Door([*COMMAND, msgspec.json.encode(request).decode()], folder)


def test_a_campaign_that_was_killed_goes_on_to_the_same_results(tmp_path: Path) -> None:
    jobs = squares(150)
    request = Request(folder=str(tmp_path / "campaign"), jobs=jobs, workers=2)
    with command(tmp_path, request) as door:
        assert door.said("came", times=20), door.end()[1]
        door.process.kill()
        assert door.left_behind() == ()
    file = tmp_path / "campaign" / "results.jsonl"
    before = len(file.read_text().splitlines())
    file.write_bytes(file.read_bytes() + b'{"key":"149","resu')  # killed in the middle of a write
    with campaign(plan_of(), Settings(0, None, tmp_path / "campaign", True, None)) as running:
        for key, job in jobs.items():
            running.submit(key, job)
        assert len(list(running.results())) == len(jobs)
    assert before >= 20 and running.progress.kept == before, "what was kept is not done again"
    assert Counter(key for key, _ in kept(file.parent)) == Counter(jobs.keys())
    assert dict(kept(file.parent)) == undisturbed(jobs)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_a_command_that_is_stopped_leaves_no_guest(signum: signal.Signals, tmp_path: Path) -> None:
    with announced(tmp_path) as announcer:
        machine = write_machine(tmp_path, qemu=announcer.program, cpu_s=3600)
        words: list[str | Path] = [
            "storm",
            "poison",
            "--time",
            "3600",
            "--workers",
            "2",
            "--machine",
            machine,
            "--out",
            tmp_path / "c",
        ]
        with Door([*PROGRAM, *words], tmp_path) as door:
            announcer.next_pid()
            announcer.next_pid()
            if signum is signal.SIGKILL:
                door.process.kill()
            else:
                os.killpg(door.process.pid, signum)  # as `timeout` does: its workers hear SIGTERM, too
            status, out = door.end()
            assert door.left_behind() == ()
    assert "Traceback" not in out
    if signum is not signal.SIGKILL:
        assert (status, out.splitlines()[-1]) == (ExitCode.INTERRUPTED, "interrupted")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Door]]:
    with remote(tmp_path_factory.mktemp("remote")) as found:
        yield found


def test_a_command_that_is_killed_leaves_no_task_on_a_worker_elsewhere(
    there: tuple[str, Door], tmp_path: Path
) -> None:
    address, worker = there
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    descriptor = os.open(fifo, os.O_RDWR)
    jobs = {"1": Job(kind=Kind.ANNOUNCE, where=str(fifo))}
    with command(tmp_path, Request(folder=str(tmp_path / "c"), jobs=jobs, scheduler=address)) as door:
        assert select.select([descriptor], [], [], PATIENCE_S)[0], door.end()[1]
        task = psutil.Process(int(os.read(descriptor, 100)))
        os.close(descriptor)
        server = task.parent()  # it removes what the task leaves, then ends
        assert server is not None
        door.process.kill()
        assert psutil.wait_procs([task, server], timeout=GONE_S)[1] == []
    assert worker.process.poll() is None, "the worker lives on, for the next command"


def test_a_worker_of_another_version_is_refused(there: tuple[str, Door], tmp_path: Path) -> None:
    address, _ = there
    shutil.copytree(SOURCES / "frame_harness", tmp_path / "frame_harness", ignore=lambda *_: ["_data"])
    shutil.copy(SOURCES / "frame_harness_start.py", tmp_path)
    with (tmp_path / "frame_harness" / "base" / "units.py").open("a") as file:
        file.write("# a change\n")
    env = {"PYTHONPATH": str(tmp_path)}
    with Door([*PROGRAM, "worker", address, "--workers", "1"], tmp_path, env) as worker:
        assert worker.said("Ctrl-C ends"), worker.end()[1]
        with (
            pytest.raises(
                HarnessError, match=r"worker: tcp://.*: expected frame-harness .* with code .*, got"
            ),
            campaign(plan_of(), Settings(None, address, tmp_path / "c", False, None)),
        ):
            pass
    assert kept(tmp_path / "c") == []


def test_a_worker_that_its_scheduler_sends_away_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    with (
        scheduler(tmp_path / "s") as (address, _),
        Door([*PROGRAM, "worker", address, "--workers", "2"], tmp_path / "w") as worker,
    ):
        assert worker.said("Ctrl-C ends"), worker.end()[1]
        with Client(address, set_as_default=False) as client:
            first, second = client.scheduler_info(n_workers=-1)["workers"]
            client.retire_workers([first], close_workers=True)
            assert worker.said(f"1 worker of {address} ended; 1 of 2 go on"), worker.end()[1]
            client.retire_workers([second], close_workers=True)
        status, out = worker.end()
    assert (status, worker.left_behind()) == (ExitCode.ERROR, ())
    assert "all that were here have ended; the scheduler is there" in out


def test_a_compiler_that_a_worker_finds_late_is_waited_for(tmp_path: Path) -> None:
    found, fifo, own = tmp_path / "found", tmp_path / "fifo", tmp_path / "bin"
    os.mkfifo(fifo)
    descriptor = os.open(fifo, os.O_RDWR)  # both ways: neither side waits for the other to open it
    own.mkdir()
    rustc = own / "rustc"
    rustc.write_text(f'#!/bin/sh\n[ -e {found} ] || read _ < {fifo}\nexec {shutil.which("rustc")} "$@"\n')
    rustc.chmod(0o755)
    env = {
        "PATH": f"{own}:{os.environ['PATH']}", "FRAME_HARNESS_CACHE": str(tmp_path / "cache"),
        "FRAME_HARNESS_TOOLCHAIN": "installed-target",
    }  # fmt: skip
    with remote(tmp_path, env) as (address, _):
        settings = Settings(None, address, tmp_path / "c", False, None)
        came = []
        with campaign(plan_of(), settings) as running:
            running.submit("compiles", Job(n=3), needs_compiler=True)
            running.submit("plain", Job(n=2))
            for done in running.results():
                came.append(done.key)
                if done.key == "plain":
                    found.touch()
                    os.write(descriptor, b"\n")
    os.close(descriptor)
    assert came == ["plain", "compiles"], "the worker took other tasks while it looked"


def test_a_cluster_without_any_compiler_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_cluster, "NO_WORKERS_S", 3.0)
    with remote(tmp_path, {"FRAME_HARNESS_TOOLCHAIN": "nonesuch"}) as (address, _):
        settings = Settings(None, address, tmp_path / "c", False, None)
        with campaign(plan_of(), settings) as running:
            running.submit("compiles", Job(n=3), needs_compiler=True)
            with pytest.raises(HarnessError, match="no worker of this version with a Rust toolchain for 3 s"):
                list(running.results())
    assert kept(tmp_path / "c") == []


def test_nobody_at_the_address_is_one_message(tmp_path: Path) -> None:
    with (
        pytest.raises(HarnessError, match=r"scheduler: tcp://127\.0\.0\.1:1: cannot be reached: .*refused"),
        campaign(plan_of(), Settings(None, "tcp://127.0.0.1:1", tmp_path, False, None)),
    ):
        pass


@pytest.mark.parametrize("address", ["nowhere", "http://somewhere:80", "tcp://somewhere"])
def test_what_is_no_address_is_refused(address: str, tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"expected an address such as tcp://server:8786"),
        campaign(plan_of(), Settings(None, address, tmp_path, False, None)),
    ):
        pass


def test_without_dask_one_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dask.config", None)
    with (
        pytest.raises(MissingToolError, match="not installed") as caught,
        campaign(plan_of(), Settings(1, None, tmp_path, False, None)),
    ):
        pass
    assert caught.value.next_step == "pip install 'frame-harness[campaign]'"


def test_of_the_users_dask_settings_only_those_of_connections_count(tmp_path: Path) -> None:
    (tmp_path / "dask.yaml").write_text(
        "distributed: {comm: {timeouts: {tcp: 7s}}, worker: {preload: [none]}, scheduler: {idle-timeout: 1s}}"
    )
    show = (
        "import dask, json; from frame_harness.campaigns.dask_settings import load_dask; load_dask();"
        "c = dask.config.get; print(json.dumps([c('distributed.comm.timeouts'), "
        "c('distributed.worker.preload'), c('distributed.scheduler.idle-timeout')]))"
    )
    env = {"DASK_CONFIG": str(tmp_path), "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "8s"}
    with Door([sys.executable, "-c", show], tmp_path, env) as door:
        _, out = door.end()
    assert json.loads(out) == [{"connect": "8s", "tcp": "7s"}, [], None]
    assert dask_settings.OF_THE_USER == "distributed.comm"


def test_a_file_of_dask_that_is_no_yaml_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "dask.yaml").write_text("distributed: [")
    show = "from frame_harness.campaigns.dask_settings import load_dask; load_dask()"
    with Door([sys.executable, "-c", show], tmp_path, {"DASK_CONFIG": str(tmp_path)}) as door:
        _, out = door.end()
    assert "HarnessError: dask's own settings: " in out and str(tmp_path / "dask.yaml") in out


@pytest.mark.parametrize("address", ["http://server:8786", "tcp://127.0.0.1:99999", "tcp://127.0.0.1:0"])
def test_what_is_no_address_of_a_scheduler_is_refused_at_once(address: str) -> None:
    with pytest.raises(UsageError, match="tcp://server:8786"):
        require_answer(address)


def test_a_lack_of_leave_within_a_campaign_is_not_told_of_its_scratch_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path))
    with pytest.raises(PermissionError), scratch():
        raise PermissionError(errno.EPERM, "Operation not permitted")
