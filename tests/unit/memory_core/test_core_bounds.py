"""Proves that a case with a number that no guest could be given is refused in one line, while it is read."""

from __future__ import annotations

import tracemalloc

import pytest

from frame_harness.base.errors import UsageError
from frame_harness.memory_core.maps import MapRegion
from frame_harness.memory_core.steps import parsed

ONE_PIECE = "0x400000..0x4000000 free"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("0x5000..0x1000 free", "size from 0 to 0xffffffffffffffff"),
        ("0x5000..0x1000 protected", "size from 0 to"),
        ("0x0..0x10000000000000000 free", "size from 0 to"),
        ("0x10000000000000000..0x10000000000001000 free", "base from 0 to"),
        ("0xffffffffffffff00..0x10000000000001000 protected", "an end of at most 0x10000000000000000"),
        ("9999999999 islands of 1 from 0x0", "count from 0 to 1024"),
        ("9 islands of 9999999999999999 from 0x0", "an end of at most"),
        ("1 islands of 1 from 0xffffffffffffffff", "an end of at most"),
        ("reach 0x10000000000000000", "end from 0 to"),
        ("b1 = alloc 256 unmovable any", "order from 0 to 255"),
        ("b1 = fill 256 unmovable any", "order from 0 to 255"),
        ("work of order 256 unmovable", "order from 0 to 255"),
        ("storm of 4 for 300 seed 1", "cpus from 1 to 3"),
        ("as cpu 3", "cpu from 0 to 2"),
        ("storm of 0 for 300 seed 1", "cpus from 1 to 3"),
        ("storm of 3 for 100001 seed 1", "turns from 0 to 100000"),
        ("storm of 3 for 300 seed 18446744073709551616", "seed from 0 to"),
        ("own claim all of b1 as 18446744073709551616", "cap from 0 to"),
    ],
)
def test_a_number_that_does_not_fit_is_refused(part: str, expected: str) -> None:
    with pytest.raises(UsageError) as refused:
        parsed(f"{ONE_PIECE}; {part}")
    assert refused.value.next_step and "\n" not in refused.value.summary
    assert f"expected {expected}" in refused.value.summary


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1000 islands of 1 from 0x400000; 25 islands of 1 from 0x4000000", "regions"),
        ("; ".join(["0x1000..0x2000 protected"] * 33), "protected ranges"),
    ],
)
def test_parts_that_are_too_many_together_are_refused(text: str, what: str) -> None:
    with pytest.raises(UsageError, match=f"{what}.*expected at most"):
        parsed(text)


@pytest.mark.parametrize("digits", [21, 5000])
def test_a_number_of_many_digits_is_no_number(digits: int) -> None:
    with pytest.raises(UsageError, match="expected a region or an operation"):
        parsed(f"b1 = alloc {'9' * digits} unmovable any")
    with pytest.raises(UsageError, match="expected a region or an operation"):
        parsed(f"0x0..0x{'f' * digits} free")


def test_islands_without_end_take_no_memory() -> None:
    tracemalloc.start()
    with pytest.raises(UsageError):
        parsed("99999999999 islands of 1 from 0x0")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_the_largest_numbers_that_fit_are_taken() -> None:
    [region, *_] = parsed("0xffffffffffff0000..0x1fffffffffffeffff free; b1 = alloc 255 unmovable any")
    assert isinstance(region, MapRegion) and region.size == (1 << 64) - 1 and region.wraps
    assert (
        len(parsed("1024 islands of 1 from 0x400000; storm of 3 for 100000 seed 18446744073709551615")) == 2
    )
