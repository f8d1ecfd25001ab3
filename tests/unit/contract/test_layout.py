"""A layout is equal, or every way in which it is not is said and drawn."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_harness.contract.layout import FieldLayout, StructLayout
from frame_harness.contract.layout_map import render
from frame_harness.frame_metadata.layouts import FRAME_META_VTABLE, LAYOUTS, META_SLOT

NAMED = [field.leaf for field in META_SLOT.fields if not field.reserved]


def with_field(
    layout: StructLayout, leaf: str, offset: int, size: int, kind: str | None = None
) -> StructLayout:
    fields = tuple(
        replace(field, offset=offset, size=size, kind=kind or field.kind) if field.leaf == leaf else field
        for field in layout.fields
    )
    return replace(layout, fields=fields)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_expected_layouts_cover_each_byte_once_and_equal_themselves(layout: StructLayout) -> None:
    covered = [place for field in layout.fields for place in range(field.offset, field.end)]
    assert sorted(covered) == list(range(layout.size))
    assert LAYOUTS.diff(layout, layout) == []


@pytest.mark.parametrize(
    ("offset", "field"),
    [(-1, "reserved"), (0, "next"), (7, "next"), (8, "prev"), (29, "reserved"), (47, "meta_aux"),
     (48, "reserved"), (64, "reserved")],
)  # fmt: skip
def test_each_byte_is_told_by_the_field_that_it_belongs_to(offset: int, field: str) -> None:
    assert META_SLOT.field_at(offset) == field


def test_nested_names_atomic_wrappers_and_other_cuts_of_reserved_bytes_are_equal() -> None:
    nested = {"next": "free_link.next", "prev": "free_link.prev"}
    fields = tuple(
        replace(field, name=nested.get(field.name, field.name), kind=f"Atomic{field.kind.upper()}")
        for field in META_SLOT.fields
        if not field.reserved
    )
    tail = (FieldLayout("_reserved_tail", 48, 8, "[u8; 8]"), FieldLayout("_pad2", 56, 8, "u64"))
    assert LAYOUTS.diff(META_SLOT, StructLayout("MetaSlot", 64, 8, (*fields, *tail))) == []


@given(st.sampled_from(NAMED), st.integers(0, 63), st.sampled_from([1, 2, 4, 8]))
def test_any_other_place_or_width_of_a_field_is_a_difference(leaf: str, offset: int, size: int) -> None:
    moved = with_field(META_SLOT, leaf, offset, size)
    want = META_SLOT.field(leaf)
    assert want is not None
    same = (want.offset, want.size) == (offset, size)
    assert [difference.field for difference in LAYOUTS.diff(META_SLOT, moved)] == ([] if same else [leaf])
    assert max(map(len, render(META_SLOT, moved).splitlines())) <= 76


@pytest.mark.parametrize("size", [0, 63, 72, 128])
def test_another_size_is_a_difference_of_the_size_clause(size: int) -> None:
    [difference] = LAYOUTS.diff(META_SLOT, replace(META_SLOT, size=size))
    assert str(difference) == f"size: MetaSlot: expected 64 bytes, got {size} bytes"
    assert difference.clause == "LAYOUT-01"


@pytest.mark.parametrize(("alignment", "fine"), [(0, False), (1, True), (8, True), (64, True), (128, False)])
def test_alignment_is_an_upper_bound(alignment: int, fine: bool) -> None:
    assert (LAYOUTS.diff(META_SLOT, replace(META_SLOT, alignment=alignment)) == []) is fine


@pytest.mark.parametrize("leaf", NAMED)
def test_a_missing_and_a_doubled_field_are_differences(leaf: str) -> None:
    without = tuple(field for field in META_SLOT.fields if field.leaf != leaf)
    [gone] = LAYOUTS.diff(META_SLOT, replace(META_SLOT, fields=without))
    assert (gone.field, gone.actual, gone.clause) == (leaf, "no such field", "LAYOUT-02")
    again = FieldLayout(f"shadow.{leaf}", 48, 4, "u32")
    [doubled] = LAYOUTS.diff(META_SLOT, replace(META_SLOT, fields=(*META_SLOT.fields, again)))
    assert "two, at" in doubled.actual


def test_a_new_field_in_reserved_bytes_is_a_difference() -> None:
    owner = FieldLayout("owner", 50, 4, "u32")
    [difference] = LAYOUTS.diff(META_SLOT, replace(META_SLOT, fields=(*META_SLOT.fields, owner)))
    assert (difference.field, difference.expected) == ("owner", "no such field")


def test_a_signed_field_is_a_difference() -> None:
    signed = with_field(META_SLOT, "refcount", 32, 4, "AtomicI32")
    assert [difference.what for difference in LAYOUTS.diff(META_SLOT, signed)] == ["type"]


def test_swapped_hooks_are_two_differences_of_the_vtable_clause() -> None:
    swapped = with_field(with_field(FRAME_META_VTABLE, "on_last_ref", 8, 8), "on_unmap", 0, 8)
    differences = LAYOUTS.diff(FRAME_META_VTABLE, swapped)
    assert {difference.field for difference in differences} == {"on_last_ref", "on_unmap"}
    assert {difference.clause for difference in differences} == {"LAYOUT-05"}


def test_the_map_marks_exactly_the_byte_that_a_wider_order_takes() -> None:
    text = render(META_SLOT, with_field(META_SLOT, "order", 28, 2))
    lines = text.splitlines()
    assert lines[4] == " " * (10 + 29) + "^"
    assert "  o order       28+1     -> 28+2     widened by 1" in lines


def test_the_map_of_a_128_byte_slot_continues_on_a_second_row() -> None:
    lines = render(META_SLOT, replace(META_SLOT, size=128, alignment=128)).splitlines()
    assert lines[0] == "MetaSlot: expected 64 bytes, got 128"
    assert lines[4].split()[0] == "64"
    assert lines[5] == "actual    " + "_" * 64


def test_the_map_shows_bytes_that_two_fields_share() -> None:
    assert "#" * 4 in render(META_SLOT, with_field(META_SLOT, "guard", 36, 4))
