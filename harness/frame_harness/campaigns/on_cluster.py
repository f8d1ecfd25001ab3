"""Does tasks on the workers of a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from distributed import Client, Future, KilledWorker
from distributed.comm.core import CommClosedError

from frame_harness.base.errors import HarnessError
from frame_harness.base.version import version
from frame_harness.campaigns.cluster import NO_WORKERS_S
from frame_harness.campaigns.done import LossReason
from frame_harness.campaigns.tasks import Ended, TaskOutcome, Work
from frame_harness.campaigns.worker_plugin import COMPILER, FILES, TaskPlugin, do_task, package_resource

LOOK_S: Final = 1.0
AHEAD: Final = 2
"""Tasks that a worker has, the one that it does included: none of them waits for the command."""


class OnCluster:
    """The workers of a cluster, as long as a campaign runs."""

    def __init__(self, client: Client, address: str, *, shares_files: bool) -> None:
        """Count the workers.

        Args:
            shares_files: workers see the files of the command at the same places.
        """
        self._client, self._address, self._shares_files = client, address, shares_files
        self._name = f"frame-harness-{uuid.uuid4().hex[:12]}"
        self._ended: queue.SimpleQueue[tuple[str, Future[TaskOutcome]]] = queue.SimpleQueue()
        self._open: dict[str, Future[TaskOutcome]] = {}
        self._compiling: set[str] = set()
        self._looked = self._seen = self._seen_compiler = time.monotonic()
        self._slots = 0

    @contextlib.contextmanager
    def working(self, work: Work, files: Mapping[str, Path]) -> Iterator[None]:
        """Have workers ready for a work for the time of a block; no guest is left behind it.

        Args:
            files: that the scheduler keeps for workers that do not have them.
        """
        for sha256, path in files.items():
            self.offer(sha256, path)
        self._client.register_plugin(TaskPlugin(self._name, work, version()), name=self._name)
        try:
            self._look()
            yield
        finally:
            if self._client.status == "running":
                self._client.cancel(list(self._open.values()), force=True)
                with contextlib.suppress(CommClosedError):  # a worker died meanwhile: nothing is left there
                    self._client.unregister_worker_plugin(self._name)

    @property
    def room(self) -> int:
        """How many more tasks may be open: `AHEAD` for each that workers do at a time, at least one."""
        return max(1, AHEAD * self._slots) - len(self._open)

    def start(self, name: str, payload: bytes, *, needs_compiler: bool) -> None:
        """Submit a task; one that needs a compiler goes to workers that have one."""
        key = f"{self._name}-{name}"
        resources = {package_resource(): 1.0} | ({COMPILER: 1.0} if needs_compiler else {})
        future = self._client.submit(
            do_task, self._name, key, payload, key=key, pure=False, resources=resources
        )
        self._open[name] = future
        if needs_compiler:
            self._compiling.add(name)
        future.add_done_callback(lambda ended: self._ended.put((name, ended)))

    def offer(self, sha256: str, path: Path) -> None:
        """Give the scheduler a file's path, or its bytes where workers do not see the command's files."""
        self._client.set_metadata([FILES, sha256], str(path) if self._shares_files else path.read_bytes())

    def ended(self) -> tuple[str, TaskOutcome]:
        """Wait until a task ends; raises `HarnessError` where the scheduler or all workers are gone."""
        while True:
            self._look_again()
            try:
                name, future = self._ended.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            outcome = self._outcome(future)
            del self._open[name]
            self._compiling.discard(name)
            return name, outcome

    def _outcome(self, future: Future[TaskOutcome]) -> TaskOutcome:
        while True:
            try:
                return future.result(timeout=LOOK_S)
            except TimeoutError:  # the worker that had it is gone, and another one does it again
                self._look_again()
            except KilledWorker as error:
                died = f"the workers that had it died, the last one was {error.last_worker}"
                return Ended(LossReason.DIED, died)
            except (Exception, asyncio.CancelledError) as error:  # Ctrl-C is none of them
                if future.status in ("cancelled", "lost"):
                    raise self._gone() from error
                raise

    def _look_again(self) -> None:
        if time.monotonic() > self._looked + LOOK_S:
            self._look()
            self._require_workers()

    def _look(self) -> None:
        """Count the tasks that workers of this version can do at the same time."""
        if self._client.status != "running":
            raise self._gone()
        try:
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        except OSError as error:
            raise self._gone() from error
        self._looked = now = time.monotonic()
        ours = [one for one in workers if package_resource() in one["resources"]]
        self._slots = sum(int(one["nthreads"]) for one in ours)
        if ours:
            self._seen = now
        if not self._compiling or any(COMPILER in one["resources"] for one in ours):
            self._seen_compiler = now

    def _require_workers(self) -> None:
        patience = time.monotonic() - NO_WORKERS_S
        if min(self._seen, self._seen_compiler) > patience:
            return
        lacking = "workers of this version"
        if self._seen > patience:
            lacking = "worker of this version with a Rust toolchain"
        raise HarnessError(
            "scheduler", self._address, detail=f"has had no {lacking} for {NO_WORKERS_S:.0f} s",
            next_step="start some, and go on with --resume",
        )  # fmt: skip

    def _gone(self) -> HarnessError:
        return HarnessError(
            "scheduler", self._address, detail="is gone", next_step="start it, and go on with --resume"
        )
