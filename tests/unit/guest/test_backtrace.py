"""Proves that a chain of frame pointers is followed as far as it is one, whatever memory holds."""

from __future__ import annotations

import random

import pytest

from frame_harness.base.units import KERNEL_VMA, Vaddr
from frame_harness.guest.backtrace import DEEPEST, path_in_module, return_addresses

STACK, TEXT = Vaddr(KERNEL_VMA + 0x10_0000), Vaddr(KERNEL_VMA + 0x1000)


def stack(*frames: tuple[int, int]) -> dict[int, int]:
    """Memory with frames at STACK, one after the other: each is (caller's frame, return address)."""
    words = [word for frame in frames for word in frame]
    return {STACK + 8 * place: word for place, word in enumerate(words)}


def test_a_chain_is_followed_to_its_end() -> None:
    memory = stack((STACK + 16, TEXT), (STACK + 32, TEXT + 1), (0, TEXT + 2))
    assert return_addresses(STACK, memory.get) == [TEXT, TEXT + 1, TEXT + 2]


def test_a_chain_stops_at_what_is_no_frame() -> None:
    assert return_addresses(Vaddr(STACK + 4), stack((STACK + 16, TEXT)).get) == []
    assert return_addresses(Vaddr(0), stack().get) == []
    assert return_addresses(STACK, stack((STACK + 16, 0x1000), (0, TEXT)).get) == []
    assert return_addresses(STACK, stack((STACK + 4096, TEXT)).get) == [TEXT]


def test_a_chain_that_turns_back_is_not_followed() -> None:
    assert return_addresses(STACK, stack((STACK, TEXT)).get) == [TEXT]
    memory = stack((STACK + 16, TEXT), (STACK, TEXT + 1))
    assert return_addresses(STACK, memory.get) == [TEXT, TEXT + 1]


def test_a_chain_has_an_end_in_any_memory() -> None:
    long = {STACK + 8 * i: STACK + 8 * i + 16 if i % 2 == 0 else TEXT for i in range(1000)}
    assert len(return_addresses(STACK, long.get)) == DEEPEST
    words = random.Random(1)
    for _ in range(200):
        garbage = {STACK + 8 * i: KERNEL_VMA + words.randrange(0x20_0000) & ~7 for i in range(64)}
        assert len(return_addresses(Vaddr(STACK + 8 * words.randrange(64)), garbage.get)) <= DEEPEST


FRAME = "kernel_shim::memory::frame"


@pytest.mark.parametrize(
    ("function", "path"),
    [
        (f"{FRAME}::MetaSlot::inc_ref", "MetaSlot::inc_ref"),
        (f"<{FRAME}::Frames as core::iter::Iterator>::next", "Frames as core::iter::Iterator::next"),
        (f"{FRAME}::<impl core::fmt::Debug for {FRAME}::MetaSlot>::fmt", "MetaSlot::fmt"),
        (f"{FRAME}::more::<impl core::fmt::Debug for {FRAME}::MetaSlot>::fmt", "MetaSlot::fmt"),
        (f"kernel_shim::memory::buddy::<impl buddy::Slot for {FRAME}::MetaSlot>::clear_flag_bits", ""),
        ("kernel_shim::memory::buddy::free", ""),
    ],
)
def test_only_what_is_written_in_the_frame_module_is_a_path_in_it(function: str, path: str) -> None:
    """What the shim implements for a type of the module is the shim's."""
    assert path_in_module(function) == path
