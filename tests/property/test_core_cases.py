"""Proves that every case can be written and read again, and that anything else is refused in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_harness.base.errors import UsageError
from frame_harness.memory_core.maps import Islands, MapRegion, Protected, RegionKind
from frame_harness.memory_core.ownership import BY_CAP, PARTS, REQUESTS
from frame_harness.memory_core.owning_steps import MARKS, SHARED_BY, CopyOnWrite, Mark, Own
from frame_harness.memory_core.page_tables import VARIANTS
from frame_harness.memory_core.slots import PURPOSES
from frame_harness.memory_core.state import KINDS, ZONES
from frame_harness.memory_core.steps import (
    FREE_PLACES,
    POISON_PLACES,
    Alloc,
    AsCpu,
    CaseStep,
    CaseStorm,
    Fill,
    FrameAlloc,
    Free,
    FreeHalf,
    FreeOne,
    PageTables,
    Poison,
    PoisonFree,
    Reach,
    WrongFree,
    map_of,
    operations_of,
    parsed,
    steps_of,
    written,
)
from frame_harness.memory_core.work_steps import WorkOf, WorkOfBoot
from frame_harness.memory_core.wrong_frees import WRONG_FREES

ADDRESSES = st.integers(0, (1 << 64) - 1)
NAMES = st.from_regex(r"b[0-9]{1,3}", fullmatch=True)
ORDERS = st.integers(0, 255)
KIND, ZONE = st.sampled_from(KINDS), st.sampled_from(("any", *ZONES))
STEPS: st.SearchStrategy[CaseStep] = st.one_of(
    st.builds(MapRegion, ADDRESSES, ADDRESSES, st.sampled_from(RegionKind)),
    st.builds(Islands, st.integers(0, 1 << 63), st.integers(0, 40), st.integers(1, 99)),
    st.tuples(ADDRESSES, ADDRESSES).map(lambda ends: Protected(min(ends), max(ends) - min(ends))),
    st.builds(Reach, ADDRESSES),
    st.builds(Alloc, NAMES, ORDERS, KIND, ZONE),
    st.builds(Fill, NAMES, ORDERS, KIND, ZONE),
    st.builds(Free, NAMES),
    st.builds(FreeHalf, NAMES),
    st.builds(FreeOne, NAMES),
    st.builds(AsCpu, st.integers(0, 2)),
    st.builds(FrameAlloc, NAMES, st.sampled_from(PURPOSES), st.booleans()),
    st.builds(PoisonFree, st.sampled_from(FREE_PLACES)),
    st.builds(Poison, NAMES, st.sampled_from(POISON_PLACES)),
    st.builds(CaseStorm, st.integers(1, 3), ORDERS, ORDERS),
    st.builds(PageTables, st.sampled_from(VARIANTS), ORDERS),
    st.builds(WrongFree, st.sampled_from(WRONG_FREES), NAMES),
    st.builds(WorkOfBoot),
    st.builds(WorkOf, ORDERS, KIND),
    st.builds(Own, st.sampled_from(BY_CAP), NAMES, ORDERS, st.sampled_from(PARTS)),
    st.builds(Own, st.sampled_from(sorted({*REQUESTS} - {*BY_CAP})), NAMES, part=st.sampled_from(PARTS)),
    st.builds(Mark, st.sampled_from(MARKS), NAMES),
    st.builds(CopyOnWrite, st.integers(2, 4), st.sampled_from(SHARED_BY), ORDERS),
)


@given(st.lists(STEPS, max_size=8))
def test_a_case_is_read_as_it_was_written(steps: list[CaseStep]) -> None:
    assert parsed(written(steps)) == tuple(steps)


@given(st.lists(STEPS, max_size=8))
def test_a_map_and_operations_are_all_there_is_in_a_case(steps: list[CaseStep]) -> None:
    memory, operations = map_of(steps), operations_of(steps)
    again = (*steps_of(memory), *operations)
    assert map_of(again) == memory and operations_of(again) == operations


@pytest.mark.parametrize(
    "text",
    ["free", "b1 = alloc 0 movable", "0x1..0x2", "0x2..0x1 used", "wrongly free badly b1", "b1 = alloc -1"],
)
def test_what_is_no_step_is_refused_with_its_words(text: str) -> None:
    with pytest.raises(UsageError, match="expected a region") as error:
        parsed(f"0x1000..0x2000 free; {text}")
    assert repr(text) in error.value.summary
