"""Tells whether an image fits into a machine before a guest that cannot work is started."""

from __future__ import annotations

from typing import Final

from frame_harness.base.errors import HarnessError
from frame_harness.base.units import KERNEL_VMA, MIB, format_bytes
from frame_harness.image.image import Image

MAPPED: Final = 16 * MIB
"""Bytes that the kernel maps for its image: `KERNEL_TABLES` of 2 MiB (kernel_shim/src/arch/paging.rs)."""


class ImageTooLarge(HarnessError):
    """The loader would put a part of the image where there is no RAM, and what is written there is lost."""


def require_room(image: Image, machine: str, ram: int) -> None:
    """Require that RAM holds an image with all its statics.

    Args:
        machine: its name.
        ram: bytes of the machine.
    Raises:
        ImageTooLarge: names the largest static.
    """
    end = image.symbol("__kernel_end")[0] - KERNEL_VMA
    if end <= min(ram, MAPPED):
        return
    name, size = image.largest_static()
    of = f"{format_bytes(MAPPED)}, all that a kernel's image may have"
    if ram < MAPPED:
        of = f"{format_bytes(ram)}, the RAM of {machine}"
    raise ImageTooLarge(
        "image too large",
        f"{image.subject.name} ({image.profile})",
        expected=f"at most {of}",
        actual=f"{end:,} bytes, of which the static {name} is {size:,}",
        next_step="make the static smaller"
        + (", or choose a machine with more RAM (`ram` in its TOML file)" if ram < MAPPED else ""),
    )
