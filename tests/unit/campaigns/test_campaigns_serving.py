"""Workers go on when one of them ends, and say what is gone when they cannot."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from frame_harness.base.errors import HarnessError
from frame_harness.campaigns import serving

PATIENCE_S = 60.0
Act = Callable[[list[asyncio.Event], asyncio.Event], Coroutine[Any, Any, None]]


def serve(scheduler: socket.socket, said: list[str], act: Act, heard: asyncio.Event) -> None:
    """Have three workers, and do something to them."""
    address = f"tcp://127.0.0.1:{scheduler.getsockname()[1]}"

    def say(text: str) -> None:
        said.append(text)
        heard.set()

    async def run() -> None:
        ends, stop = [asyncio.Event() for _ in range(3)], asyncio.Event()
        waits = [end.wait for end in ends]
        async with asyncio.TaskGroup() as group:
            group.create_task(act(ends, stop))
            await asyncio.wait_for(serving._until_they_end(address, waits, stop, say), PATIENCE_S)

    asyncio.run(run())


def test_one_worker_ends_and_the_others_go_on_until_they_are_stopped() -> None:
    said: list[str] = []
    heard = asyncio.Event()

    async def act(ends: list[asyncio.Event], stop: asyncio.Event) -> None:
        ends[1].set()
        await heard.wait()
        stop.set()

    with socket.create_server(("127.0.0.1", 0)) as scheduler:
        serve(scheduler, said, act, heard)
        port = scheduler.getsockname()[1]
    assert said == [f"1 worker of tcp://127.0.0.1:{port} ended; 2 of 3 go on"]


def test_that_all_workers_ended_is_not_told_as_a_scheduler_that_is_gone() -> None:
    async def act(ends: list[asyncio.Event], _: asyncio.Event) -> None:
        for end in ends:
            end.set()

    with socket.create_server(("127.0.0.1", 0)) as scheduler, pytest.raises(ExceptionGroup) as caught:
        serve(scheduler, [], act, asyncio.Event())
    error = caught.value.exceptions[0]
    assert isinstance(error, HarnessError)
    assert error.summary.endswith("all that were here have ended; the scheduler is there")


def test_a_scheduler_that_is_gone_ends_all_workers() -> None:
    scheduler = socket.create_server(("127.0.0.1", 0))
    said: list[str] = []

    async def act(ends: list[asyncio.Event], _: asyncio.Event) -> None:
        scheduler.close()
        ends[0].set()

    with scheduler, pytest.raises(ExceptionGroup) as caught:
        serve(scheduler, said, act, asyncio.Event())
    error = caught.value.exceptions[0]
    assert isinstance(error, HarnessError)
    assert error.summary.endswith("is gone, and so are its workers here") and said == []


def test_a_server_that_does_not_begin_ends_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(serve: Coroutine[Any, Any, None]) -> None:
        serve.close()
        raise OSError(24, "Too many open files")

    async def never(_: asyncio.Event) -> None:
        raise AssertionError

    caught: list[BaseException] = []

    def begin() -> None:
        try:
            serving._until_interrupted(never)
        except OSError as error:
            caught.append(error)

    monkeypatch.setattr(asyncio, "run", refuse)
    thread = threading.Thread(target=begin, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert [str(one) for one in caught] == ["[Errno 24] Too many open files"]
