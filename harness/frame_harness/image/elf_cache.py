"""Keeps on disk what was read in an ELF file, so that the next process need not read it again."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any, Final

import elftools

from frame_harness.base import disk, resources
from frame_harness.base.disk import write_whole
from frame_harness.image import cache_limit, store

_READERS: Final = Path(__file__).parent


def cached(sha256: str, what: str, keys: Set[str], read: Callable[[], Any]) -> dict[str, Any]:
    """Return what `read` makes of a file, as JSON keeps it: tuples are lists, keys are strings.

    What another version of the readers cached, or what was damaged, is not believed: it is read again.

    Args:
        sha256: of the file.
        what: of it was read.
        keys: that the answer has.
    """
    place = resources.build_dir() / "dwarf" / f"{sha256[:24]}-{_version()}-{what}.json"
    found = store.read_json(place)
    if isinstance(found, dict) and found.keys() == keys:
        cache_limit.touch(place)
        return found
    text = json.dumps(read(), separators=(",", ":"))
    try:
        write_whole(place, text.encode())
    except disk.Unwritable as error:  # somebody else's cache, or no room: it can be read again
        disk.tell(error)
    # What comes first must not differ from what comes later.
    return dict(json.loads(text))


@functools.cache
def _version() -> str:
    """Return a name for all the code that reads."""
    total = hashlib.sha256(elftools.__version__.encode())
    for file in sorted(_READERS.glob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()[:8]
