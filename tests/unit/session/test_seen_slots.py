"""The slot of a violation is kept where its bytes are known for sure, else not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from frame_harness.base.errors import BootError, ImageError
from frame_harness.base.units import Paddr
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.guest.checks import ClauseViolated, Values, expect
from frame_harness.judge.evidence import SlotBytes
from frame_harness.session.seen_slots import slot_seen
from tests.support.synthetic import SLOT

FRAME = Paddr(0x2000)


class AKernel(Kernel):
    """A guest of three slots, of which nothing but the table is looked at."""

    def __init__(self, table: Any, layout: Any = META_SLOT) -> None:
        self.image = AnImage(layout)  # type: ignore[assignment]
        self._table = table

    def slots(self) -> Any:
        if isinstance(self._table, Exception):
            raise self._table
        return self._table


def guest(*what: Any) -> tuple[list[Kernel], Any]:
    one = AKernel(*what)
    return [one], one.image


class AnImage:
    slot_type = "MetaSlot"

    def __init__(self, layout: Any) -> None:
        self._layout, self.slot_layout = layout, META_SLOT

    @property
    def subject(self) -> Any:
        return self

    contract = FRAME_METADATA

    def layout(self, _name: str) -> Any:
        if isinstance(self._layout, Exception):
            raise self._layout
        return self._layout


@pytest.fixture
def table() -> Any:
    slots = np.zeros(3, dtype=SLOT)
    slots["refcount"] = [5, 6, 7]
    return slots


def failure(got: Any, expected: Any, field: str = "refcount", frame: Paddr | None = FRAME) -> ClauseViolated:
    with pytest.raises(ClauseViolated) as caught:
        expect("count", got, expected, frame=frame, field=field)
    return caught.value


def test_slot_is_read_in_ram_with_what_was_promised(table: Any) -> None:
    assert slot_seen(failure(7, 1), *guest(table)) == SlotBytes(
        got=table[2].tobytes().hex(), expected={"refcount": 1}
    )


def test_number_of_numpy_is_a_number(table: Any) -> None:
    seen = slot_seen(failure(table["refcount"][2], np.uint32(1)), *guest(table))
    assert seen is not None and seen.expected == {"refcount": 1}


def test_slot_that_holds_something_else_by_now_is_not_shown(table: Any) -> None:
    assert slot_seen(failure(8, 1), *guest(table)) is None


def test_truth_is_no_value_of_a_field(table: Any) -> None:
    seen = slot_seen(failure(True, False), *guest(table))
    assert seen is not None and seen.expected == {}


def test_what_was_promised_of_a_payload_is_no_field_of_the_slot(table: Any) -> None:
    seen = slot_seen(failure(4096, 0, field="payload"), *guest(table))
    assert seen is not None and seen.expected == {}


def test_value_that_the_field_cannot_hold_is_not_among_those_promised(table: Any) -> None:
    seen = slot_seen(failure(7, 1 << 32), *guest(table))
    assert seen is not None and seen.expected == {}


def test_bytes_that_the_check_kept_count_more_than_ram(table: Any) -> None:
    kept = np.ones(1, dtype=SLOT).tobytes()
    error = ClauseViolated(
        "x", expected="", got="", frame=FRAME, slot=kept, values=Values({"order": 3, "none": 1}, {})
    )
    assert slot_seen(error, *guest(table)) == SlotBytes(got=kept.hex(), expected={"order": 3})


@pytest.mark.parametrize(
    ("error", "kernels"),
    [
        (None, 1),
        (AssertionError(), 1),
        (ClauseViolated("x", expected="", got="", frame=FRAME), 1),
        (failure(7, 1, frame=None), 1),
        (failure(7, 1, frame=Paddr(1 << 40)), 1),
        (failure(7, 1), 0),
        (failure(7, 1), 2),
    ],
)
def test_nothing_is_shown_that_nobody_looked_at(
    error: BaseException | None, kernels: int, table: Any
) -> None:
    assert slot_seen(error, [AKernel(table)] * kernels, AKernel(table).image) is None


def test_slots_of_another_layout_are_not_shown(table: Any) -> None:
    assert slot_seen(failure(7, 1), *guest(table, replace(META_SLOT, size=128))) is None
    assert slot_seen(failure(7, 1), *guest(table, ImageError("no such type"))) is None


def test_table_that_is_not_there_is_no_new_error() -> None:
    assert slot_seen(failure(7, 1), *guest(BootError("slot table"))) is None


def test_bytes_that_the_check_kept_need_no_guest(table: Any) -> None:
    error = ClauseViolated("x", expected="", got="", frame=FRAME, slot=table[1].tobytes())
    _, image = guest(table)
    assert slot_seen(error, [], image) == SlotBytes(got=table[1].tobytes().hex())
    assert slot_seen(error, [], None) is None
