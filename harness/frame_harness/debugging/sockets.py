"""A folder for sockets to debuggers, gone when this process is, however it ends."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from frame_harness.base.disk import scratch_place, writing
from frame_harness.machine.process import host_program

LONGEST_PATH: Final = 107
"""Bytes: unix(7), `sun_path` without its final 0."""
_ROOM: Final = 40
"""For the folder's own name and those of the files in it."""
_SHORT: Final = Path("/tmp")
# It ends when nobody holds the other end of its input any more: the kernel closes that, also after SIGKILL.
_SWEEP: Final = 'cat > /dev/null; rm -rf -- "$0"'


@contextlib.contextmanager
def socket_folder() -> Iterator[Path]:
    """Make a folder whose path is short enough for sockets in it.

    Raises:
        Unwritable: there is no room, or no leave.
        MissingToolError: sh is not installed.
    """
    place = scratch_place()
    if len(str(place).encode()) + _ROOM > LONGEST_PATH:
        place = _SHORT
    shell = host_program("sh", "dash")
    with writing(place):
        folder = Path(tempfile.mkdtemp(prefix="frame-harness-gdb-", dir=place))
    try:
        sweep = [shell, "-c", _SWEEP, str(folder)]
        with subprocess.Popen(sweep, stdin=subprocess.PIPE, start_new_session=True):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # where the sweeper was not started, or was killed
