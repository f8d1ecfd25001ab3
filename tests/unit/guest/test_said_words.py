"""What a panic must name is looked for as a word of its own, where it is a number."""

from __future__ import annotations

import pytest

from frame_harness.guest.checks import number, says


@pytest.mark.parametrize(
    ("message", "words", "is_said"),
    [
        ("frame 0x1061000: refcount 0x1, expected 0xffffffff", number(1), True),
        ("frame 0x1061000: refcount 1", number(1), True),
        ("frame 0x1061000: refcount 0x00000001", number(1), True),
        ("frame 0x1061000 is in use", number(1), False),
        ("frame 0x1061000 is in use", number(0), False),
        ("frame 0x1060000: refcount 0", number(0), True),
        ("expected 4294967295", number(2), False),
        ("frame 0x10610000", "0x1061000", False),
        ("at PhysAddr(0x1061000)..", "0x1061000", True),
        ("Not Initialized yet", "not initialized", True),
        ("out of bounds", "no slot|OUT OF", True),
    ],
)
def test_a_number_is_said_where_it_stands_by_itself(message: str, words: str, is_said: bool) -> None:
    assert says(message, words) is is_said
