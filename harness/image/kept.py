"""Keeps on disk what was read in an ELF file, so that the next process need not read it again."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from harness import resources
from harness.image import store


def kept(sha256: str, what: str, readers: tuple[ModuleType, ...], read: Callable[[], Any]) -> dict[str, Any]:
    """Return what `read` makes of a file, as JSON keeps it: tuples are lists, keys are strings.

    Args:
        sha256: of the file.
        what: of it was read.
        readers: the code that reads; what an older version kept is not believed.
    """
    name = f"{sha256[:24]}-{_version(readers)}-{what}.json"
    place = resources.build_dir() / "dwarf" / name
    found = store.read_json(place)
    if isinstance(found, dict):
        return found
    store.write_json(place, read())
    # What comes first must not differ from what comes later.
    return dict(store.read_json(place))


@functools.cache
def _version(readers: tuple[ModuleType, ...]) -> str:
    total = hashlib.sha256()
    for module in readers:
        total.update(Path(str(module.__file__)).read_bytes())
    return total.hexdigest()[:8]
