"""Loads dask with settings of ours: a user's own may be made for anything."""

from __future__ import annotations

import atexit
from typing import Any, Final

from frame_harness.base.errors import HarnessError, MissingToolError

OF_THE_USER: Final = "distributed.comm"
"""What counts of the user's settings: certificates and timeouts of connections."""
_OURS: Final[dict[str, Any]] = {
    # dask has a level of its own for each of these.
    "logging": dict.fromkeys(
        ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio"), "critical"
    ),
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.admin.tick.interval": "500ms",
    "distributed.diagnostics.nvml": False,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.work-stealing-interval": "100ms",
    "distributed.worker.profile.enabled": False,
    "distributed.worker.daemon": True,
}


def load_dask() -> None:
    """Import dask for this process; workers that it starts get the same settings.

    Raises:
        MissingToolError: it is not installed.
        HarnessError: its settings cannot be read.
    """
    try:
        import dask.config  # noqa: PLC0415  an extra of the package
    except ImportError as error:
        raise missing(error) from error
    except ValueError as error:  # it reads all of its files at once
        raise HarnessError(
            "dask's own settings", detail=" ".join(str(error).split()), next_step="mend that file"
        ) from error
    found = dask.config.get(OF_THE_USER, default={})
    dask.config.refresh(paths=[], env={})
    dask.config.set({"logging": _OURS["logging"]})
    try:
        from distributed.deploy import spec  # noqa: PLC0415
    except ImportError as error:
        raise missing(error) from error
    # Clusters of ours end with their blocks. At the end of the program dask would trip over one whose start
    # was interrupted; its processes end with this one.
    atexit.unregister(spec.close_clusters)
    dask.config.set(_OURS)
    dask.config.update(dask.config.get(OF_THE_USER), found, priority="new")


def missing(error: ImportError) -> MissingToolError:
    """The error to raise where `distributed`, or what it needs, cannot be imported; says what to install."""
    return MissingToolError(
        "campaign", error.name or "distributed", detail="not installed",
        next_step="pip install 'frame-harness[campaign]'",
    )  # fmt: skip
