"""Makes sure of room for open files: those of each guest, of each worker, of each report."""

from __future__ import annotations

import resource
from typing import Final

from frame_harness.base.errors import HarnessError

LEAST: Final = 256
"""Ours, with room to spare: with 30 even a run of one check on one machine fails, with 40 it does not."""


def require_open_files() -> None:
    """Raise this process's own limit to what a run needs, where it is lower.

    Raises:
        HarnessError: the system allows fewer.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _allows(soft):
        return
    if not _allows(hard):
        raise HarnessError(
            "open files", "limit of this process", expected=f"at least {LEAST}", actual=hard,
            next_step=f"ulimit -n {LEAST}, in a shell that may, then start again",
        )  # fmt: skip
    resource.setrlimit(resource.RLIMIT_NOFILE, (LEAST, hard))


def _allows(limit: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= LEAST
