"""A campaign that is stopped while its workers start, or say what they can do, ends without a backtrace."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.base.version import version
from frame_harness.campaigns import worker_plugin
from frame_harness.campaigns.tasks import Work
from frame_harness.campaigns.worker_plugin import COMPILER, TaskPlugin, package_resource
from frame_harness.judge.exit_codes import ExitCode
from tests.support.campaign_tasks import plan_of
from tests.support.doors import Door

# The command is stopped when dask has begun to start its worker, which never comes up.
STOPPED_AT_START = """
import asyncio, os, signal
from distributed import Nanny

never = asyncio.Event()

async def start(self):
    os.kill(os.getpid(), signal.SIGTERM)
    await never.wait()

Nanny.start_unsafe = start
import frame_harness_start
frame_harness_start.main()
"""


def test_a_stop_while_workers_start_is_one_word(tmp_path: Path) -> None:
    words: list[str | Path] = ["storm", "--time", "3600", "--workers", "1", "--out", tmp_path / "c"]
    with Door([sys.executable, "-c", STOPPED_AT_START, *words], tmp_path) as door:
        status, out = door.end()
        assert door.left_behind() == ()
    assert "Traceback" not in out
    assert (status, out.splitlines()[-1]) == (ExitCode.INTERRUPTED, "interrupted")


@pytest.mark.parametrize("stopped", [False, True])
def test_a_worker_whose_campaign_ends_while_it_offers_itself_looks_for_no_compiler(
    stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: list[str] = []

    async def offered_by_a_plugin() -> None:
        at, go = asyncio.Event(), asyncio.Event()

        async def set_resources(**resources: float) -> None:
            offered.extend(resources)
            at.set()
            await go.wait()

        worker: Any = SimpleNamespace(
            set_resources=set_resources, state=SimpleNamespace(nthreads=1), status=None
        )
        plugin = TaskPlugin("c", Work(plan_of().work, {}, 1.0), version())
        setup = asyncio.ensure_future(plugin.setup(worker))
        await at.wait()
        if stopped:
            await plugin.teardown(worker)
        go.set()
        await setup
        if plugin._looking is not None:
            await plugin._looking
        if not stopped:
            await plugin.teardown(worker)

    monkeypatch.setattr(worker_plugin, "_has_compiler", lambda: True)
    asyncio.run(offered_by_a_plugin())
    assert offered == [package_resource(), *([] if stopped else [COMPILER])]
