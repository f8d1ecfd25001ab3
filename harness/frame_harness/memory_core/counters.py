"""Reads the counters of a core; says of those that it cannot read why they are not judged."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from frame_harness.base.units import Vaddr
from frame_harness.guest.booted import BootedGuest
from frame_harness.image.errors import ImageError
from frame_harness.image.image import Image
from frame_harness.memory_core.state import LeftOut

CACHED, CACHED_OF_ZONES = "LOCAL_CACHED_FRAMES", "LOCAL_CACHED_ZONE_FRAMES"
CACHED_OF_KINDS, QUARANTINED = "LOCAL_CACHED_ZONE_MIGRATETYPE_FRAMES", "POISON_QUARANTINE_PAGES"
COUNTERS: Final = (CACHED, CACHED_OF_ZONES, CACHED_OF_KINDS, QUARANTINED)
_WORDS: Final = {4: "<u4", 8: "<u8"}
"""By bytes the type of a counter."""
_COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_ONLY_READ: Final = r"\bstatic\s+{name}\s*:|\b{name}\s*\.\s*load\b"
"""A mention of a counter that changes nothing."""


class Counters:
    """Knows where an image keeps each counter.

    Attributes:
        unjudged: what is not read.
    """

    def __init__(
        self, guest: BootedGuest, path: str, counts: Mapping[str, int], declared: Collection[str]
    ) -> None:
        """Look up every name once.

        Args:
            path: of the module that has them: `kernel_shim::memory::buddy::`.
            counts: by name of how many numbers it is made.
            declared: the paths of statics that the text declares.
        Raises:
            ImageError: one is not in the image, and no text tells whether anything counts there.
        """
        self._guest, image = guest, guest.image
        self._places: dict[str, tuple[Vaddr, int, str]] = {}
        self._zeros: dict[str, NDArray[Any]] = {}
        self.unjudged: tuple[LeftOut, ...] = ()
        for name, count in counts.items():
            at, size = _place(image, path + name)
            word = _WORDS.get(size // count) if size % count == 0 else None
            if at is None and path + name in declared and _is_only_read(image, name):
                self._zeros[name] = np.zeros(count, "<u8")
            elif at is not None and word is not None:
                self._places[name] = (at, size, word)
            else:
                clause = "CORE-19" if name == QUARANTINED else "CORE-18"
                why = f"{name} is not judged: {_why(at, path + name in declared)}"
                self.unjudged += (LeftOut(clause, name, why),)

    def read(self, name: str) -> NDArray[Any] | None:
        """What it counts now, shape (n,), `n` of `counts`; None where it is not judged."""
        if name in self._zeros:
            return self._zeros[name]
        if name not in self._places:
            return None
        at, size, word = self._places[name]
        return self._guest.bytes_at(at, size).view(word)

    def number(self, name: str) -> int | None:
        """The same of a counter that is one number."""
        words = self.read(name)
        return None if words is None else int(words[0])


def _place(image: Image, path: str) -> tuple[Vaddr | None, int]:
    try:
        return image.static(path)
    except ImageError:
        return None, 0


def _why(at: Vaddr | None, is_declared: bool) -> str:
    if at is not None:
        return "it is no plain number"
    return (
        "nothing in the kernel that is built reads it" if is_declared else "this version has no such counter"
    )


def _is_only_read(image: Image, name: str) -> bool:
    """Whether no line counts there; a static that is written and never read is not in the image, either."""
    return all(
        len(re.findall(rf"\b{name}\b", text)) == len(re.findall(_ONLY_READ.format(name=name), text))
        for text in _texts(image, name)
    )


def _texts(image: Image, name: str) -> Iterator[str]:
    for file in image.subject.files:
        try:
            yield _COMMENT.sub(" ", file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ImageError(
                "the core", name, expected=f"its text in {file}, which tells whether anything counts there",
                actual=error.strerror, next_step="judge this core on the machine that has its text",
            ) from error  # fmt: skip
