"""A check whose runs are made by workers says what it says without them, whatever happens to a worker."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from tests.support.builtin_mutants import BUILTIN_MUTANTS
from tests.support.clusters import remote, scheduler, worker
from tests.support.doors import (
    GONE_S,
    Announcer,
    Door,
    Judged,
    announced,
    check,
    close_check,
    open_check,
    write_machine,
)
from tests.support.mutants import broken, mutated
from tests.support.same_evidence import archive, printed, reports
from tests.support.same_place import same_place

NO_COMPILER = {"FRAME_HARNESS_TOOLCHAIN": "none"}
TWO_RUNS = ("--machine", "microvm", "--machine", "q35", "--profile", "release")
COVERED = ("-k", "CONST-01 or GUARD-10", "--cov")
"""A check with a guest, and one of orderings, which take a compiler; lines are measured in a third run."""
TWO_LIVES = ("slot.set_refcount(1);", "slot.set_refcount(2);")
LATE = next(bug for bug in BUILTIN_MUTANTS if bug.clause == "CORE-22")
UNORDERED = ("self.flags.store(flags, Release)", "self.flags.store(flags, Relaxed)")


ONE_CHECK = ("--profile", "release", "-k", "CONST-01")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Door]]:
    """A scheduler with a worker that has no compiler, and keeps files for itself."""
    folder = tmp_path_factory.mktemp("remote")
    own = {"FRAME_HARNESS_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir()
    with remote(folder, NO_COMPILER | own) as found:
        yield found


def judged(folder: Path, *arguments: str | Path) -> Judged:
    """A check with all reports and an archive."""
    folder.mkdir()
    words = ("--junit", folder / "report.xml", "--sarif", folder / "report.sarif", "--out", folder / "out")
    return check(folder, *words, "--html", folder / "report.html", *arguments, forks=False)


BROKEN = "(ALLOC-09 or REF-08) and not another_cpu"
"""Without guests of four CPUs: which one starts first is not the same each time, and registers show it."""


@pytest.mark.parametrize(
    ("edits", "select", "status"),
    [((), COVERED, ExitCode.PASS), ((TWO_LIVES, UNORDERED), ("-k", BROKEN), ExitCode.FAIL)],
    ids=["the built-in module", "a module with findings"],
)
def test_workers_without_a_compiler_come_to_the_same_evidence(
    edits: tuple[tuple[str, str], ...],
    select: tuple[str, ...],
    status: ExitCode,
    there: tuple[str, Door],
    tmp_path: Path,
) -> None:
    words = [*TWO_RUNS, *select, *(("--frame-rs", str(broken(edits))) if edits else ())]
    plain = judged(tmp_path / "plain", *words, "-n", "1")
    spread = judged(tmp_path / "spread", *words, "--scheduler", there[0])
    assert (plain.status, spread.status) == (status, status), spread.out
    assert reports(tmp_path / "spread") == reports(tmp_path / "plain")
    assert printed(spread.out) == printed(plain.out)
    kept = archive(tmp_path / "spread" / "out")
    assert kept == archive(tmp_path / "plain" / "out")
    assert any(name.endswith("after.npz") for name in kept) == bool(edits)


def test_a_memory_core_on_a_worker_comes_to_the_same_evidence(
    there: tuple[str, Door], tmp_path: Path
) -> None:
    file = mutated(same_place(), LATE.edits)
    case = "0x400000..0x4000000 free; page tables late seed 1"
    words = ("--core", "--frame-rs", file, "--profile", "release", "--case", case)
    plain = judged(tmp_path / "plain", *words)
    spread = judged(tmp_path / "spread", *words, "--scheduler", there[0])
    assert (plain.status, spread.status) == (ExitCode.FAIL, ExitCode.FAIL), spread.out
    assert reports(tmp_path / "spread") == reports(tmp_path / "plain")
    assert printed(spread.out) == printed(plain.out)
    # Where QEMU found the kernel, and which of three CPUs came first, is another matter each time.
    kept = archive(tmp_path / "spread" / "out", but=("argv", "registers"))
    assert kept == archive(tmp_path / "plain" / "out", but=("argv", "registers"))
    assert any(name.endswith("life.npz") for name in kept)


def made(result: Judged) -> list[tuple[str, str]]:
    return [(one["check"], one["outcome"]) for run in result.report["runs"] for one in run["checks"]]


def processes_for_tasks(door: Door) -> list[psutil.Process]:
    """The workers of dask that a command has started."""
    return [one for one in door.living() if "multiprocessing.spawn" in " ".join(one.cmdline())]


def test_a_worker_that_is_killed_in_the_middle_costs_nothing(there: tuple[str, Door], tmp_path: Path) -> None:
    address, door = there
    with announced(tmp_path) as announcer:
        machine = write_machine(tmp_path, qemu=announcer.program)
        words = ("--machine", machine, *ONE_CHECK)
        plain = check(tmp_path, *words)
        announcer.forget()
        with open_check(tmp_path, *words, "--scheduler", address) as command:
            announcer.next_pid()
            for process in processes_for_tasks(door):
                process.kill()
            spread = close_check(command, tmp_path)
    assert (spread.status, made(spread)) == (ExitCode.PASS, made(plain)), spread.out


def test_a_run_whose_task_is_lost_is_never_a_pass(there: tuple[str, Door], tmp_path: Path) -> None:
    killer = tmp_path / "kills-who-started-it"
    killer.write_text('#!/bin/sh\ntest "$1" = --version && exec echo QEMU\nkill -KILL "$PPID"\n')
    killer.chmod(0o755)
    words = ("--machine", write_machine(tmp_path, qemu=killer), "--machine", "microvm", *ONE_CHECK)
    found = check(tmp_path, *words, "--scheduler", there[0])
    assert (found.status, found.kind) == (ExitCode.ERROR, VerdictKind.ERROR), found.out
    assert "run: not evaluated: its task died, twice: its process was killed" in found.out, found.out
    [reason] = [one for one in found.report["reasons"] if one["kind"] == VerdictKind.ERROR]
    assert reason["run"]["machine"] == "impatient"
    assert "go on with --resume" in found.out
    runs = {run["run"]["machine"]: len(run["checks"]) for run in found.report["runs"]}
    assert runs == {"microvm": 1}, "the other run was judged"
    shutil.rmtree(kept_in(found.out))


def test_without_its_scheduler_a_check_ends_and_names_the_run_that_is_missing(tmp_path: Path) -> None:
    with (
        announced(tmp_path) as announcer,
        scheduler(tmp_path / "s") as (address, serving),
        worker(tmp_path / "w", address),
        open_two_runs(tmp_path, announcer, "--scheduler", address) as command,
    ):
        assert command.said("microvm/release: 1 check"), command.end()[1]
        announcer.next_pid()
        serving.process.kill()
        found = close_check(command, tmp_path)
    assert (found.status, found.kind) == (ExitCode.ERROR, VerdictKind.ERROR), found.out
    assert "Traceback" not in found.out
    assert f"run: not evaluated: scheduler: {address}: is gone" in found.out, found.out
    [reason] = [one for one in found.report["reasons"] if one["kind"] == VerdictKind.ERROR]
    assert reason["run"]["machine"] == "impatient"
    shutil.rmtree(kept_in(found.out))


def open_two_runs(folder: Path, announcer: Announcer, *arguments: str | Path) -> Door:
    """A check of two machines, of which the second one announces its guests."""
    machine = write_machine(folder, qemu=announcer.program)
    return open_check(folder, "--machine", "microvm", "--machine", machine, *ONE_CHECK, *arguments)


def kept_in(out: str) -> Path:
    """The folder of results that a command named."""
    return Path(shlex.split(out.partition("--resume ")[2])[0])


def results_of(folder: Path) -> list[str]:
    return [json.loads(line)["key"] for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("signum", "where"), [(signal.SIGINT, "there"), (signal.SIGKILL, "here")], ids=["Ctrl-C", "SIGKILL"]
)
def test_a_check_that_is_stopped_leaves_no_guest_and_goes_on_with_what_is_missing(
    signum: signal.Signals, where: str, there: tuple[str, Door], tmp_path: Path
) -> None:
    workers = {"there": ("--scheduler", there[0]), "here": ("--workers", "1")}
    with announced(tmp_path) as announcer:
        with open_two_runs(tmp_path, announcer, *workers["there"]) as command:
            assert command.said("microvm/release: 1 check"), command.end()[1]
            guest = psutil.Process(announcer.next_pid())
            os.killpg(command.process.pid, signum)
            status, out = command.end()
            folder = kept_in(out)
            assert psutil.wait_procs([guest], timeout=GONE_S)[1] == []
            assert command.left_behind() == ()
        assert "Traceback" not in out
        if signum is signal.SIGINT:
            assert status == ExitCode.INTERRUPTED and out.rstrip().endswith(
                "interrupted; every guest is gone"
            )
        assert results_of(folder) == ["microvm/release"]
        announcer.forget()
        with open_two_runs(tmp_path, announcer, *workers[where], "--resume", folder) as command:
            resumed = close_check(command, tmp_path)
    assert (resumed.status, len(made(resumed))) == (ExitCode.PASS, 2), resumed.out
    assert results_of(folder) == ["microvm/release", "impatient/release"], "what was kept is not made again"
    shutil.rmtree(folder)
