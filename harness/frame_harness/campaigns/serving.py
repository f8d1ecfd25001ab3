"""Offers this machine to the campaigns of other ones: as a scheduler, or with workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final

from frame_harness.base.commands import Say
from frame_harness.base.errors import HarnessError
from frame_harness.campaigns.cluster import has_dashboard, require_answer, scratch
from frame_harness.campaigns.dask_settings import load_dask
from frame_harness.campaigns.signals import only_for_the_command

JOIN_S: Final = 30.0
"""For a worker to be taken by its scheduler."""

Serve = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


def serve_scheduler(host: str, port: int, say: Say) -> None:
    """Be a scheduler until Ctrl-C.

    Raises:
        HarnessError: the port is not free.
    """
    load_dask()
    from distributed import Scheduler  # noqa: PLC0415  an extra of the package

    async def serve(stop: asyncio.Event) -> None:
        try:
            scheduler = await Scheduler(
                host=host or None, port=port, dashboard=has_dashboard(), dashboard_address=":0"
            )
        except (OSError, RuntimeError) as error:
            cause = error.__cause__ or error
            raise HarnessError(
                "scheduler", f"{host}:{port}", detail=f"cannot listen there: {cause}",
                next_step="name another port with --port, 0 for any",
            ) from error  # fmt: skip
        async with scheduler:
            say(f"scheduler at {scheduler.address}; on other hosts: frame-harness worker {scheduler.address}")
            await stop.wait()

    _until_interrupted(serve)


def serve_workers(address: str, count: int | None, say: Say) -> None:
    """Be workers of a scheduler, until Ctrl-C or until it is gone.

    Args:
        count: how many; None for one on each core.
    Raises:
        HarnessError: nobody answers there, or the scheduler is gone.
    """
    load_dask()
    from distributed import Nanny  # noqa: PLC0415  an extra of the package

    require_answer(address)
    n_workers = count or len(os.sched_getaffinity(0))

    async def serve(stop: asyncio.Event) -> None:
        async with contextlib.AsyncExitStack() as stack:
            place = stack.enter_context(scratch())
            try:
                made = [
                    Nanny(
                        address,
                        nthreads=1,
                        local_directory=str(place),
                        silence_logs=logging.CRITICAL,
                        death_timeout=JOIN_S,
                    )
                    for _ in range(n_workers)
                ]
                nannies = [await stack.enter_async_context(nanny) for nanny in made]
            except (OSError, RuntimeError, TimeoutError) as error:
                why = " ".join(str(error.__cause__ or error).split())
                raise _gone(address, f"does not take these workers: {why}") from error
            say(f"{n_workers} workers of {address}; Ctrl-C ends them")
            ends = [
                asyncio.ensure_future(stop.wait()),
                *(asyncio.ensure_future(n.finished()) for n in nannies),
            ]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            if not stop.is_set():
                raise _gone(address, "is gone, and so are its workers here")

    _until_interrupted(serve)


def _gone(address: str, how: str) -> HarnessError:
    return HarnessError("scheduler", address, detail=how, next_step="start this again once it is there")


def _until_interrupted(serve: Serve) -> None:
    """Serve in a thread, so that processes which it starts hear no Ctrl-C; the main thread does."""
    ended: Future[None] = Future()
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        stop = asyncio.Event()
        ready.set_result((asyncio.get_running_loop(), stop))
        await serve(stop)

    def in_thread() -> None:
        try:
            asyncio.run(run())
            ended.set_result(None)
        except BaseException as error:
            ended.set_exception(error)

    thread = threading.Thread(target=in_thread, name="cluster")
    with only_for_the_command():
        thread.start()
    try:
        ended.result()
    finally:
        loop, stop = ready.result()
        with contextlib.suppress(RuntimeError):  # it is closed already
            loop.call_soon_threadsafe(stop.set)
        thread.join()
