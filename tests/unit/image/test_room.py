"""Proves that an image which does not fit is refused before a guest starts, with the largest static."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from frame_harness.base.resources import shim_dir
from frame_harness.base.units import GIB, KERNEL_VMA, MIB
from frame_harness.image.room import MAPPED, ImageTooLarge, require_room


def image_of(n_bytes: int) -> Any:
    """What is asked of an image whose last byte lies that far up."""
    return SimpleNamespace(
        symbol=lambda name: (KERNEL_VMA + n_bytes, 0) if name == "__kernel_end" else None,
        largest_static=lambda: ("frame::TABLE", n_bytes // 2),
        subject=SimpleNamespace(name="frame.rs"),
        profile="dev",
    )


def test_an_image_that_just_fits_is_accepted() -> None:
    require_room(image_of(8 * MIB), "tiny", 8 * MIB)
    require_room(image_of(MAPPED), "q35-5g", 5 * GIB)


def test_an_image_beyond_ram_names_the_machine_and_what_to_do() -> None:
    with pytest.raises(ImageTooLarge) as caught:
        require_room(image_of(8 * MIB + 1), "tiny", 8 * MIB)
    text = str(caught.value)
    assert "8 MiB, the RAM of tiny" in text and "frame::TABLE" in text and "a machine with more RAM" in text


def test_more_ram_does_not_help_an_image_beyond_what_is_mapped() -> None:
    with pytest.raises(ImageTooLarge) as caught:
        require_room(image_of(MAPPED + 1), "q35-5g", 5 * GIB)
    assert "16 MiB, all that" in str(caught.value) and "more RAM" not in str(caught.value)


def test_an_image_may_be_as_large_as_the_kernel_maps_and_no_larger() -> None:
    text = (shim_dir() / "src" / "arch" / "paging.rs").read_text(encoding="utf-8")
    [tables] = re.findall(r"const KERNEL_TABLES: usize = ([0-9]+);", text)
    assert int(tables) * 2 * MIB == MAPPED
