"""Proves that a counter of a core that is not read is judged, or told of."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from frame_harness.base.units import Vaddr
from frame_harness.image.errors import ImageError
from frame_harness.memory_core.boot_memory import BootMemory
from frame_harness.memory_core.counters import CACHED, QUARANTINED, Counters

CORE = "kernel_shim::memory::"
BUDDY = f"{CORE}buddy::"
DECLARED = f"static {QUARANTINED}: AtomicUsize = AtomicUsize::new(0); // {QUARANTINED}.fetch_add\n"
SNAPSHOT = f"fn snapshot() -> usize {{ {QUARANTINED}.load(Relaxed) }}\n"
NOTED = f"fn note(n: usize) {{ {QUARANTINED}.store(n, Relaxed) }}\n"
NONE = "this version has no such counter"


class Image:
    """Has some statics, a boot allocator of pieces, and a text."""

    def __init__(self, statics: dict[str, int], text: Path) -> None:
        self._sizes = {f"{CORE}boot_alloc::BOOT_ALLOCATOR": 80, **statics}
        self.subject = SimpleNamespace(files=(text,))

    def static(self, path: str) -> tuple[Vaddr, int]:
        if path not in self._sizes:
            raise ImageError("image", "static", expected=path, actual="none")
        return Vaddr(0x1000 * list(self._sizes).index(path)), self._sizes[path]

    def statics(self, path: str) -> list[Any]:
        named = [(name, *self.static(name)) for name in self._sizes if name.startswith(path)]
        return [SimpleNamespace(name=name, vaddr=at, size=size) for name, at, size in named]

    def dtype(self, _: str) -> np.dtype[Any]:
        piece = np.dtype([("start", "<u8"), ("end", "<u8")])
        return np.dtype([("pieces", piece, (4,)), ("len", "<u8")])


def guest(tmp_path: Path, statics: dict[str, int] | None = None, text: str | None = "") -> Any:
    file = tmp_path / "buddy.rs"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    return SimpleNamespace(
        image=Image(statics or {}, file), bytes_at=lambda _, size: np.full(size, 1, np.uint8)
    )


def of_quarantine(booted: Any, *, declared: bool = True) -> Counters:
    return Counters(booted, BUDDY, {QUARANTINED: 1}, {f"{BUDDY}{QUARANTINED}"} if declared else set())


@pytest.mark.parametrize("text", [DECLARED, DECLARED + SNAPSHOT])
def test_a_counter_that_nothing_counts_in_is_zero(tmp_path: Path, text: str) -> None:
    found = of_quarantine(guest(tmp_path, text=text))
    assert (found.number(QUARANTINED), found.unjudged) == (0, ())


def test_a_counter_that_is_in_the_image_is_read(tmp_path: Path) -> None:
    found = of_quarantine(guest(tmp_path, {f"{BUDDY}{QUARANTINED}": 4}))
    assert (found.number(QUARANTINED), found.unjudged) == (0x01010101, ())


@pytest.mark.parametrize(
    ("statics", "text", "declared", "why"),
    [
        ({}, "", False, NONE),
        ({}, DECLARED + NOTED, True, "nothing in the kernel that is built reads it"),
        ({f"{BUDDY}{QUARANTINED}": 24}, DECLARED, True, "it is no plain number"),
    ],
)
def test_a_counter_that_is_not_judged_is_told_of(
    tmp_path: Path, statics: dict[str, int], text: str, *, declared: bool, why: str
) -> None:
    found = of_quarantine(guest(tmp_path, statics, text), declared=declared)
    told = [("CORE-19", QUARANTINED, f"{QUARANTINED} is not judged: {why}")]
    assert found.number(QUARANTINED) is None
    assert [(one.clause, one.part, one.why) for one in found.unjudged] == told


def test_another_counter_is_one_of_caches(tmp_path: Path) -> None:
    [unjudged] = Counters(guest(tmp_path), BUDDY, {CACHED: 1}, ()).unjudged
    assert (unjudged.clause, unjudged.part) == ("CORE-18", CACHED)


def test_a_counter_of_which_only_a_text_could_tell_is_not_guessed_without_it(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"buddy\.rs"):
        of_quarantine(guest(tmp_path, text=None))


def test_a_boot_allocator_that_some_static_may_seal_is_told_of(tmp_path: Path) -> None:
    sealed = guest(tmp_path, {f"{CORE}boot_alloc::CALLS": 8})
    [unjudged] = BootMemory(sealed, CORE, 8).unjudged
    assert unjudged.clause == "CORE-04" and "CALLS may say" in unjudged.why
    assert BootMemory(guest(tmp_path), CORE, 8).unjudged == ()


def test_a_boot_allocator_that_is_made_in_another_way_is_told_of(tmp_path: Path) -> None:
    [unjudged] = BootMemory(guest(tmp_path), CORE, 0).unjudged
    assert "another way" in unjudged.why
