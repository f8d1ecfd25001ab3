"""Reads where the branches are that an image for fuzzing counts, and in which function each lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from frame_harness.base.units import Vaddr
from frame_harness.image.elf import open_elf, reading
from frame_harness.image.elf_cache import cached
from frame_harness.image.errors import ImageError
from frame_harness.image.image import Image
from frame_harness.image.placed import is_part_of

# LLVM 22, SanitizerCoverage: two words for each counter, the address of its code and flags.
_COUNTERS: Final = "__sancov_cntrs"
_PLACES: Final = "__sancov_pcs"
_WORDS: Final = 2


@dataclass(frozen=True)
class Branches:
    """The counters of one image, a byte each, in the order of the table."""

    counters: Vaddr
    """Vaddr of the first one."""
    total: int
    """Of all code."""
    of_subject: tuple[int, ...]
    """Indices of those that lie in the subject's functions."""
    addresses: tuple[Vaddr, ...]
    """Of the code of these."""

    @classmethod
    def of(cls, image: Image) -> Branches:
        """Read an image's, or what was cached when it was read before.

        Raises:
            ImageError: it counts none, or none of the subject.
        """

        def whole() -> dict[str, Any]:
            found = _read(image)
            return {
                "counters": found.counters, "total": found.total, "of_subject": found.of_subject,
                "addresses": found.addresses,
            }  # fmt: skip

        found = cached(image.sha256, "branches", {"counters", "total", "of_subject", "addresses"}, whole)
        return cls(found["counters"], found["total"], tuple(found["of_subject"]), tuple(found["addresses"]))


def _read(image: Image) -> Branches:
    with reading(image.elf):
        file = open_elf(image.elf)
        counters, places = (file.get_section_by_name(name) for name in (_COUNTERS, _PLACES))
        if counters is None or places is None or not counters["sh_size"]:
            raise ImageError(f"{image.elf}", "counters of branches", expected="some", actual="none")
        table = np.frombuffer(places.data(), "<u8").reshape(-1, _WORDS)[:, 0]
        vaddr, total = Vaddr(int(counters["sh_addr"])), int(counters["sh_size"])
    if len(table) != total:
        raise ImageError(
            f"{image.elf}", "counters of branches", expected=f"a place for each of {total}", actual=len(table)
        )
    known: dict[str, bool] = {}
    chosen = []
    for index, address in enumerate(table.tolist()):
        function, _ = image.function_at(address) or ("", 0)
        if function not in known:
            known[function] = any(
                is_part_of(place.file, str(image.subject.path)) for place in image.places(address)
            )
        if known[function]:
            chosen.append((index, address))
    if not chosen:
        raise ImageError(
            f"{image.elf}", "counters of branches", expected="some of the subject", actual="none"
        )
    return Branches(vaddr, total, tuple(index for index, _ in chosen), tuple(at for _, at in chosen))
