"""The buddy's own state in RAM is compared with the model's word by word; the first difference is told."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from frame_harness.base.units import Pfn, Vaddr, pfn_to_paddr
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_histories.buddy_words import COUNTERS, BuddyWords
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.frame_metadata.model import Model
from frame_harness.frame_metadata.model.buddy import CACHE_CAPACITY, N_CPUS
from tests.support.just_booted import just_booted, paddr_of

N_ZONES = 3
AT = Vaddr(0xFFFF_8000_0000_0000)
ZONE = np.dtype([*((name, "<u8") for name in COUNTERS), ("heads", "<u8", (2, C.max_order + 1))])
CACHE = np.dtype([("len", "<u8"), ("frames", "<u8", CACHE_CAPACITY)])
STATE = np.dtype([("zones", ZONE, N_ZONES), ("caches", CACHE, (N_CPUS, 2))])

Words = NDArray[Any]


@pytest.fixture
def model() -> Model:
    """A model whose caches, lists and quarantine hold something."""
    model = just_booted()
    frames = [paddr_of(model.alloc()) for _ in range(3)]
    model.release(frames[0], 0)
    return model


@pytest.fixture
def words(model: Model) -> Words:
    """What a guest has in RAM that agrees with the model, shape ()."""
    state = np.zeros(1, STATE)
    zones = state["zones"][0]
    zones["heads"] = C.link_none
    for index, zone in enumerate(model.buddy.zones):
        for name in COUNTERS:
            zones[name][index] = getattr(zone, name)
        for (migratetype, order), head in zone.heads.items():
            zones["heads"][index, migratetype, order] = head
    for (cpu, migratetype), frames in model.buddy.caches.items():
        cache = state["caches"][0][cpu, migratetype]
        cache["len"] = len(frames)
        cache["frames"][: len(frames)] = [pfn_to_paddr(pfn) for pfn in frames]
        cache["frames"][len(frames) :] = 0x5A5A  # ours: what lies behind is nobody's
    return state


def compared(words: Words) -> BuddyWords:
    image = SimpleNamespace(dtype={"BuddyState": STATE}.__getitem__)
    data = words.view(np.uint8)
    kernel = SimpleNamespace(
        image=image, witness=SimpleNamespace(buddy_vaddr=AT),
        bytes_at=lambda vaddr, length: data[vaddr - AT : vaddr - AT + length],
    )  # fmt: skip
    return BuddyWords(cast("Kernel", kernel))


def test_words_that_agree_are_no_difference(model: Model, words: Words) -> None:
    assert any(model.buddy.caches.values())
    assert compared(words).compare(model) is None


@pytest.mark.parametrize("name", COUNTERS)
@pytest.mark.parametrize("zone", range(N_ZONES))
def test_each_counter_of_each_zone_counts(name: str, zone: int, model: Model, words: Words) -> None:
    words["zones"][0][name][zone] += 1
    found = compared(words).compare(model)
    assert found is not None
    expected = getattr(model.buddy.zones[zone], name)
    assert (found.kind, found.what) == ("counter", f"zone {model.buddy.zones[zone].name} {name}")
    assert (found.expected, found.got) == (str(expected), str(expected + 1))


def test_a_frame_that_is_kept_counts_as_handed_out_in_its_own_zone(model: Model, words: Words) -> None:
    """Not more than that: each other counter, and each other zone's, is as the model has it."""
    pfn = next(pfn for frames in model.buddy.caches.values() for pfn in frames)
    zone = model.buddy.zones.index(model.buddy.zone_of(pfn))
    zones = words["zones"][0]
    zones["allocated"][zone] += 1
    model.buddy.zones[zone].quarantined += 1
    assert compared(words).compare(model, {pfn}) is None
    assert compared(words).compare(model) is not None
    assert compared(words).compare(model, {pfn, Pfn(pfn + 1)}) is not None
    zones["allocated"][zone] -= 1
    found = compared(words).compare(model, {pfn})
    assert found is not None and found.what.endswith("allocated")


def test_of_frames_that_were_offered_the_guest_says_how_many_it_keeps(model: Model, words: Words) -> None:
    """Each of them may be kept or be in quarantine, and is counted as the one or the other."""
    first, second, *_ = next(frames for frames in model.buddy.caches.values() if len(frames) > 1)
    zone = model.buddy.zone_of(first)
    assert zone is model.buddy.zone_of(second)
    zone.quarantined += 2
    index, zones, buddy = model.buddy.zones.index(zone), words["zones"][0], compared(words)
    for n_kept in range(3):
        zones["allocated"][index], zones["quarantined"][index] = zone.allocated + n_kept, 2 - n_kept
        assert buddy.compare(model, met={first, second}) is None
        is_least_one = buddy.compare(model, {first}, {first, second}) is None
        assert is_least_one == (n_kept > 0), "one of them is known to be kept"
        zones["allocated"][index] += 1
        assert buddy.compare(model, met={first, second}) is not None


def test_a_list_that_should_be_empty_and_one_that_should_not_are_told_by_their_heads(
    model: Model, words: Words
) -> None:
    heads = words["zones"][0]["heads"]
    full = tuple(np.argwhere(heads != C.link_none)[0])
    empty = tuple(np.argwhere(heads == C.link_none)[0])
    for at, value in ((full, C.link_none), (empty, 0x7000)):
        before, heads[at] = int(heads[at]), value
        found = compared(words).compare(model)
        assert found is not None
        zone = model.buddy.zones[at[0]].name
        assert found.what == f"head of zone {zone} migratetype {at[1]} order {at[2]}"
        assert (found.kind, found.expected, found.got) == ("list", f"{before:#x}", f"{value:#x}")
        heads[at] = before


def shorten(cache: Words) -> None:
    cache["len"] -= 1


def grow(cache: Words) -> None:
    cache["len"] += 1


def swap(cache: Words) -> None:
    cache["frames"][0], cache["frames"][1] = cache["frames"][1], cache["frames"][0]


@pytest.mark.parametrize("change", [shorten, grow, swap])
def test_a_cache_is_compared_frame_by_frame_in_its_order(
    change: Callable[[Words], None], model: Model, words: Words
) -> None:
    (cpu, migratetype), frames = next(
        (key, some) for key, some in model.buddy.caches.items() if len(some) > 1
    )
    change(words["caches"][0][cpu, migratetype])
    found = compared(words).compare(model)
    assert found is not None
    assert (found.kind, found.what) == ("cache", f"cache of cpu {cpu} migratetype {int(migratetype)}")
    assert found.expected.startswith(f"{len(frames)} frames, next {pfn_to_paddr(frames[-1]):#x}")


def test_a_cache_that_should_be_empty_is_looked_at_too(model: Model, words: Words) -> None:
    words["caches"][0][N_CPUS - 1, Migratetype.MOVABLE]["len"] = 1
    found = compared(words).compare(model)
    assert found is not None
    assert (found.expected, found.got) == ("0 frames, next none", "1 frame, next 0x5a5a")
