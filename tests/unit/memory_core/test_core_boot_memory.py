"""Proves of which boot allocators it is known what they have left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from frame_harness.memory_core.boot_memory import members_of

PAIR = np.dtype([("__0", "<u8"), ("__1", "<u8")])
NAMED = np.dtype([("start", "<u8"), ("end", "<u8")])


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ([("pieces", PAIR, (4,)), ("len", "<u8")], ("pieces", "__0", "__1")),
        ([("regions", NAMED, (4,)), ("len", "<u8")], ("regions", "start", "end")),
        (
            [("regions", NAMED, (4,)), ("len", "<u8"), ("accessible_limit", "<u8")],
            ("regions", "start", "end"),
        ),
        ([("regions", NAMED, (4,)), ("len", "<u8"), ("sealed", "u1")], None),
        ([("regions", NAMED, (4,))], None),
        ([("len", "<u8")], None),
        ([("regions", NAMED, (2, 2)), ("len", "<u8")], None),
        ([("next", "<u8"), ("len", "<u8")], None),
    ],
)
def test_only_pieces_and_their_number_say_what_is_left(
    fields: list[Any], known: tuple[str, str, str] | None
) -> None:
    assert members_of(np.dtype(fields)) == known
