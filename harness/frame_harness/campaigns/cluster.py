"""Workers of this machine, or those of an existing cluster."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from frame_harness.base import resources
from frame_harness.base.commands import Say, SlowStep
from frame_harness.base.disk import writing
from frame_harness.base.errors import HarnessError, UsageError
from frame_harness.base.version import version
from frame_harness.campaigns.dask_settings import load_dask
from frame_harness.campaigns.signals import only_for_the_command
from frame_harness.image import cache_limit

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S: Final = 10.0
NO_WORKERS_S: Final = 60.0
"""How long workers may be missing before a campaign ends."""


def has_dashboard() -> bool:
    """Whether dask can show its dashboard."""
    return importlib.util.find_spec("bokeh") is not None


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Have a folder for what dask writes; what a killed process left there dask removes itself."""
    import dask.config  # noqa: PLC0415  an extra of the package

    place = resources.build_dir() / "dask"
    with cache_limit.used(place / "dask-scratch-space"):
        with writing(place):
            place.mkdir(parents=True, exist_ok=True)
        with dask.config.set({"temporary-directory": str(place)}):  # a scheduler's own, too
            yield place


@contextlib.contextmanager
def local_cluster(workers: int | None, say: Say | None) -> Iterator[Client]:
    """Have processes of this machine for the time of a block, one for each core or as many as asked for."""
    load_dask()
    from distributed import Client, LocalCluster  # noqa: PLC0415

    count = workers or len(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(scratch())
        with only_for_the_command(), SlowStep("starting workers", say):
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    worker_dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                    local_directory=str(place),
                )
            )
            client = stack.enter_context(Client(cluster, set_as_default=False))
        if say is not None and has_dashboard():
            say(f"dashboard: {client.dashboard_link}")
        yield client


@contextlib.contextmanager
def existing_cluster(address: str, say: Say | None) -> Iterator[Client]:
    """Have the workers of a cluster for the time of a block.

    Raises:
        UsageError: that is no address.
        HarnessError: nobody answers there, no worker comes, or one is of another version.
    """
    load_dask()
    from distributed import Client  # noqa: PLC0415

    require_answer(address)
    try:
        with only_for_the_command():
            client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise _nobody(address, f"no answer of a scheduler in {CONNECT_S:.0f} s") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=1)
        except TimeoutError:
            if say is not None:
                say(f"waiting for workers at {address}: frame-harness worker {address}")
            wait_for_workers(client, address)
        if say is not None and has_dashboard():
            say(f"dashboard: {client.dashboard_link}")
        yield client


def wait_for_workers(client: Client, address: str) -> None:
    """Wait until there is a worker.

    Raises:
        HarnessError: there is none for a minute.
    """
    try:
        client.wait_for_workers(1, timeout=NO_WORKERS_S)
    except TimeoutError as error:
        raise HarnessError(
            "scheduler", address, detail=f"has no workers for {NO_WORKERS_S:.0f} s",
            next_step=f"start some, on any host, with: frame-harness worker {address}",
        ) from error  # fmt: skip


def require_version(client: Client) -> None:
    """Refuse workers of another version: their results would be another program's.

    Raises:
        HarnessError: names the first.
    """
    found = cast(dict[str, Any], client.run(version, on_error="return"))
    for address, said in sorted(found.items()):
        if said != version():
            got = "no such package" if isinstance(said, ImportError) else said
            raise HarnessError(
                "worker", address, expected=f"frame-harness {version()}", actual=got,
                next_step="install the same version there, and start that worker again",
            )  # fmt: skip


def require_answer(address: str) -> None:
    """Refuse what is no address, and a host where nobody listens: dask would try again for a while.

    Raises:
        UsageError: it is no address.
        HarnessError: nobody answers there.
    """
    from distributed.comm.addressing import parse_address, parse_host_port  # noqa: PLC0415

    try:
        scheme, place = parse_address(address, strict=True)
        if scheme not in ("tcp", "tls"):
            raise ValueError(scheme)
        host, port = parse_host_port(place)
        if not 0 < port < 1 << 16:  # the host's resolver takes the rest of it
            raise ValueError(port)
        socket.create_connection((host, port), CONNECT_S).close()
    except ValueError as error:
        raise UsageError(
            "scheduler",
            address,
            expected="an address such as tcp://server:8786",
            actual="another text",
            next_step="name the address that `frame-harness scheduler` shows",
        ) from error
    except OSError as error:
        raise _nobody(address, error.strerror or str(error)) from error


def _nobody(address: str, why: str) -> HarnessError:
    return HarnessError(
        "scheduler", address, detail=f"cannot be reached: {why.lower()}",
        next_step="start one there with: frame-harness scheduler",
    )  # fmt: skip
