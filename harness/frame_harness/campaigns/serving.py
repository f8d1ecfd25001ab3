"""Offers this machine to the campaigns of other ones: as a scheduler, or with workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Final

from frame_harness.base.commands import Say
from frame_harness.base.errors import HarnessError
from frame_harness.base.text import plural
from frame_harness.campaigns.cluster import has_dashboard, require_answer, scratch
from frame_harness.campaigns.dask_settings import load_dask
from frame_harness.campaigns.signals import only_for_the_command

JOIN_S: Final = 30.0
"""For a worker to be taken by its scheduler."""

Serve = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
EndCall = Callable[[], Coroutine[Any, Any, Any]]
"""Waits for the end of a worker."""


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
                next_step="name another address of this host with --host, or a port with --port, 0 for any",
            ) from error  # fmt: skip
        async with scheduler:
            say(f"scheduler at {scheduler.address}; on other hosts: frame-harness worker {scheduler.address}")
            await stop.wait()

    with scratch():
        _until_interrupted(serve)


def serve_workers(address: str, count: int | None, say: Say) -> None:
    """Be workers of a scheduler, until Ctrl-C or until it is gone.

    Args:
        count: how many; None for one on each core.
    Raises:
        HarnessError: nobody answers there, the scheduler is gone, or all workers have ended.
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
            say(f"{plural(n_workers, 'worker')} of {address}; Ctrl-C ends them")
            await _until_they_end(address, [nanny.finished for nanny in nannies], stop, say)

    _until_interrupted(serve)


async def _until_they_end(address: str, ends: Sequence[EndCall], stop: asyncio.Event, say: Say) -> None:
    """Return when `stop` is set; one worker that ends leaves the others to go on.

    Raises:
        HarnessError: the scheduler is gone, or all workers have ended.
    """
    stopped = asyncio.ensure_future(stop.wait())
    living = {asyncio.ensure_future(end()) for end in ends}
    try:
        while living:
            done, _ = await asyncio.wait({stopped, *living}, return_when=asyncio.FIRST_COMPLETED)
            if stopped in done:
                return
            living = {one for one in living if one not in done}
            if not await asyncio.to_thread(_answers, address):
                raise _gone(address, "is gone, and so are its workers here")
            if living:
                say(f"{plural(len(done), 'worker')} of {address} ended; {len(living)} of {len(ends)} go on")
        raise HarnessError(
            "workers", address, detail="all that were here have ended; the scheduler is there",
            next_step="start this again",
        )  # fmt: skip
    finally:
        for one in (stopped, *living):
            one.cancel()


def _answers(address: str) -> bool:
    try:
        require_answer(address)
    except HarnessError:
        return False
    return True


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
        either: tuple[Future[Any], ...] = (ready, ended)
        wait(either, return_when=FIRST_COMPLETED)  # it may end before it begins to serve
        if ready.done():
            loop, stop = ready.result()
            with contextlib.suppress(RuntimeError):  # it is closed already
                loop.call_soon_threadsafe(stop.set)
        thread.join()
