"""A process that sees saves: it alone has the threads of `watchfiles`, so that this one may fork."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import Final

from frame_harness.base.interruption import STOPPING
from frame_harness.base.parent import die_with_parent
from frame_harness.watching.content import WatchedPlace

QUIET_MS: Final = 50
"""What an editor does within so many milliseconds is one save."""
AT_MOST_MS: Final = 400
"""Where it never is quiet, a save is told after so long all the same."""
LOOK_MS: Final = 2000
"""How often the files are looked at though nothing was heard: some file systems tell nothing."""


class FileEvents:
    """Sends an empty message whenever the files of a place may have changed, the first one at once."""

    def __init__(self, place: WatchedPlace) -> None:
        context = multiprocessing.get_context("fork")
        self.seen, theirs = context.Pipe(duplex=False)
        self._process: ForkProcess = context.Process(
            target=_look, args=(place, theirs, os.getpid()), daemon=True
        )
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The id of the process that watches the files."""
        assert self._process.pid is not None
        return self._process.pid

    def close(self) -> None:
        """Kill the process that watches, and wait for its end."""
        self._process.kill()
        self._process.join()
        self.seen.close()


def _look(place: WatchedPlace, saw: Connection, parent: int) -> None:
    from watchfiles import watch  # noqa: PLC0415  in this process alone

    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)  # the parent ends it
    die_with_parent(parent)
    polling: bool | None = None
    stamps = None
    while True:
        folders = place.to_watch()
        saw.send_bytes(b"")  # nobody looked until now
        try:
            for _ in watch(
                *folders, watch_filter=None, recursive=False, step=QUIET_MS, debounce=AT_MOST_MS,
                rust_timeout=LOOK_MS, yield_on_timeout=True, force_polling=polling,
            ):  # fmt: skip
                now = place.stamps()
                if now != stamps:
                    stamps = now
                    saw.send_bytes(b"")
                if place.to_watch() != folders:
                    break
        except FileNotFoundError:
            continue  # a folder went away before it was watched
        except OSError:
            if polling:
                raise
            polling = True  # the host allows no more watches
