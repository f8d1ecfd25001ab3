"""Proves the sizes with the address conversions."""

from __future__ import annotations

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.base.units import (
    GIB,
    MIB,
    Paddr,
    Pfn,
    Vaddr,
    align_up,
    format_bytes,
    frames_from,
    frames_inside,
    frames_touched,
    paddr_to_pfn,
    paddr_to_vaddr,
    parse_bytes,
    pfn_to_paddr,
    vaddr_to_paddr,
)

HHDM = Vaddr(0xFFFF_8000_0000_0000)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64 MiB", 64 * MIB), ("64MiB", 64 * MIB), ("64m", 64 * MIB), (" 5 GiB ", 5 * GIB), ("4097", 4097),
        ("0x1000", 4096), (4096, 4096), ("1k", 1024), ("2 TiB", 2 << 40),
    ],
)  # fmt: skip
def test_size_is_read_in_binary_units(text: str | int, value: int) -> None:
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "MiB", "64 MB", "-1", "0", 0, -5, "1.5 GiB", True, None, "64 MiB x"])
def test_what_is_no_size_is_refused_with_its_text(text: object) -> None:
    with pytest.raises(UsageError) as caught:
        parse_bytes(text)  # type: ignore[arg-type]
    assert str(caught.value).startswith("size: ")


def test_size_is_shown_with_the_largest_unit_that_divides_it() -> None:
    assert [format_bytes(each) for each in (0, 4097, 4096, 64 * MIB, 5 * GIB)] == [
        "0 bytes", "4097 bytes", "4 KiB", "64 MiB", "5 GiB",
    ]  # fmt: skip


def test_conversions_are_each_others_inverse() -> None:
    paddr = Paddr(0x1_2345_6000)
    assert pfn_to_paddr(paddr_to_pfn(paddr)) == paddr
    assert vaddr_to_paddr(paddr_to_vaddr(paddr, HHDM), HHDM) == paddr
    assert paddr_to_pfn(Paddr(4095)) == Pfn(0)


def test_address_below_the_hhdm_has_no_physical_address() -> None:
    with pytest.raises(UsageError):
        vaddr_to_paddr(Vaddr(0x1000), HHDM)


def test_an_address_is_aligned_upwards() -> None:
    assert (align_up(4097), align_up(4096), align_up(0)) == (8192, 4096, 0)


def test_frames_follow_each_other() -> None:
    assert [*frames_from(Pfn(5), 3)] == [Pfn(5), Pfn(6), Pfn(7)]
    assert [*frames_from(Pfn(5), 0)] == []


@pytest.mark.parametrize(
    ("first", "end", "touched", "inside"),
    [
        (0x1000, 0x3000, (1, 3), (1, 3)), (0x1001, 0x3000, (1, 3), (2, 3)), (0x1000, 0x2FFF, (1, 3), (1, 2)),
        (0x1FFF, 0x2001, (1, 3), (2, 2)), (0x1400, 0x1800, (1, 2), (2, 1)),
        (0, 1 << 64, (0, 1 << 52), (0, 1 << 52)),
    ],
)  # fmt: skip
def test_bytes_touch_the_frames_that_they_begin_and_end_in(
    first: Paddr, end: Paddr, touched: tuple[int, int], inside: tuple[int, int]
) -> None:
    assert (frames_touched(first, end), frames_inside(first, end)) == (touched, inside)
