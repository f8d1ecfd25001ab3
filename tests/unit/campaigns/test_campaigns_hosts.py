"""A scheduler, workers and a command on hosts of their own, of which one vanishes, another has no sources."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from frame_harness.base.resources import build_dir
from frame_harness.campaigns.images import SentImage
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.judge.exit_codes import ExitCode
from tests.support.campaign_tasks import Job, Kind, Request
from tests.support.clusters import PROGRAM
from tests.support.doors import CHECK, Door, check, close_check
from tests.support.hosts import hosts, why_no_hosts
from tests.support.mutants import broken
from tests.support.same_evidence import timeless

COMMAND = (sys.executable, "-c", "from tests.support.campaign_tasks import main; main()")
# After so long without an answer a host counts as gone: the least that dask takes, its default is 30 s.
UNORDERED = ("self.flags.store(flags, Release)", "self.flags.store(flags, Relaxed)")
BARE = "/usr/sbin:/usr/bin:/sbin:/bin"
IMPATIENT = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"}


@pytest.fixture(scope="module")
def image() -> Image:
    return build(frame_module(None), "release")


@pytest.fixture
def _network() -> None:
    if why := why_no_hosts():
        pytest.skip(why)


@pytest.mark.usefixtures("_network")
def test_one_of_two_hosts_vanishes_and_the_results_are_the_same(image: Image, tmp_path: Path) -> None:
    boots = {f"boot {n}": Job(kind=Kind.BOOT, image=SentImage.of(image)) for n in range(2)}
    jobs = {str(n): Job(n=n) for n in range(200)} | boots
    campaign = tmp_path / "campaign"
    folders = {name: tmp_path / name for name in ("s", "a", "b", "c")}
    for folder in folders.values():
        folder.mkdir()
    with hosts("s", "a", "b", "c") as net:
        address = f"tcp://{net.address('s')}:8786"

        def worker(name: str) -> Door:
            argv = net.on(name, [*PROGRAM, "worker", address, "--workers", "1"], hidden=image.elf.parent)
            # No Rust there, and nothing that was built.
            env = IMPATIENT | {"FRAME_HARNESS_CACHE": str(folders[name] / "cache"), "PATH": BARE}
            return Door(argv, folders[name], env)

        serve = net.on("s", [*PROGRAM, "scheduler", "--host", net.address("s")])
        request = Request(folder=str(campaign), jobs=jobs, scheduler=address, files=(str(image.elf),))
        ask = net.on("c", [*COMMAND, msgspec.json.encode(request).decode()])
        with Door(serve, folders["s"], IMPATIENT) as scheduler:
            assert scheduler.said("frame-harness worker "), scheduler.end()[1]
            with worker("a") as a, worker("b") as b:
                for one in (a, b):
                    assert one.said("Ctrl-C ends"), one.end()[1]
                with Door(ask, folders["c"]) as command:
                    assert command.said("came", times=40), command.end()[1]
                    net.pull_the_cable("b")
                    status, out = command.end()
                assert status == 0, out
                status, out = b.end()
                assert (status, b.left_behind()) == (3, ()), out
                assert "is gone, and so are its workers here" in out
                assert a.process.poll() is None
    lines = [json.loads(line) for line in (campaign / "results.jsonl").read_text().splitlines()]
    assert Counter(line["key"] for line in lines) == Counter(jobs.keys())
    squares = {str(n): {"n": n * n} for n in range(200)}
    assert {line["key"]: line.get("result") for line in lines} == squares | {key: {"n": 1} for key in boots}
    [elf] = (folders["a"] / "cache" / "by-content").glob(f"{image.sha256}/*")
    assert elf.read_bytes() == image.elf.read_bytes(), "it came by its hash, over the network"


@pytest.mark.usefixtures("_network")
def test_a_check_says_the_same_where_its_worker_has_neither_sources_nor_a_compiler(tmp_path: Path) -> None:
    # The line of a constant is looked for in the text of the module, since debug information has none.
    subject = broken([("ANONYMOUS: u32 = 1 << 2;", "ANONYMOUS: u32 = 1 << 3;"), UNORDERED])
    words = (
        "--frame-rs",
        subject,
        "--machine",
        "microvm",
        "--profile",
        "release",
        "-k",
        "CONST-04 or REF-08",
    )
    folders = {name: tmp_path / name for name in ("s", "a", "c", "plain")}
    for folder in folders.values():
        folder.mkdir()
    plain = check(folders["plain"], *words)
    with hosts("s", "a", "c") as net:
        address = f"tcp://{net.address('s')}:8786"
        serve = net.on("s", [*PROGRAM, "scheduler", "--host", net.address("s")])
        # Nothing of the build folder is there: the module, the kernel, what was read in it.
        work = net.on("a", [*PROGRAM, "worker", address, "--workers", "1"], hidden=build_dir())
        none = {"FRAME_HARNESS_CACHE": str(folders["a"] / "cache"), "FRAME_HARNESS_TOOLCHAIN": "none"}
        report = folders["c"] / "report.json"
        ask = net.on("c", [*CHECK, "--json", report, *words, "--scheduler", address])
        with Door(serve, folders["s"]) as scheduler:
            assert scheduler.said("frame-harness worker "), scheduler.end()[1]
            with Door(work, folders["a"], none | {"PATH": BARE}) as worker:
                assert worker.said("Ctrl-C ends"), worker.end()[1]
                with Door(ask, folders["c"]) as command:
                    spread = close_check(command, folders["c"])
    assert (spread.status, plain.status) == (ExitCode.FAIL, ExitCode.FAIL), spread.out
    assert timeless(spread.report) == timeless(plain.report)
    places = [one["at"] for one in spread.report["findings"]]
    assert len(places) >= 2 and all(place.startswith(f"{subject}:") for place in places)
    assert {path.name for path in (folders["a"] / "cache" / "by-content").glob("*/*")} >= {"frame.rs"}
