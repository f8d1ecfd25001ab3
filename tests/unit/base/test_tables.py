"""Tables of records, copied and compared as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from frame_harness.base.tables import copy_of, differing_rows

PADDED = np.dtype({"names": ["a", "b"], "formats": ["<u4", "<u2"], "offsets": [0, 8], "itemsize": 16})
ODD = np.dtype([("a", "u1"), ("b", "<u2")])


def table(dtype: np.dtype[np.void], n_rows: int = 4) -> NDArray[Any]:
    made = np.zeros(n_rows, dtype)
    made["a"] = made["b"] = range(n_rows)
    return made


@pytest.mark.parametrize("dtype", [PADDED, ODD])
def test_a_copy_is_the_same_and_follows_no_more(dtype: np.dtype[np.void]) -> None:
    original = table(dtype)
    copied = copy_of(original)
    assert not len(differing_rows(original, copied))
    original["b"][1:3] = 77
    assert copied["b"][1] == 1
    assert differing_rows(original, copied).tolist() == [1, 2]


def test_bytes_between_the_fields_count() -> None:
    original = table(PADDED)
    copied = copy_of(original)
    original.view(np.uint8)[2 * PADDED.itemsize + 5] = 1
    assert copied.view(np.uint8)[2 * PADDED.itemsize + 5] == 0
    assert differing_rows(copied, original).tolist() == [2]


def test_rows_out_of_a_table_are_copied_and_compared() -> None:
    original = table(PADDED, 8)
    rows = original[::2]
    copied = copy_of(rows)
    original["a"][2] = 9
    assert copied["a"].tolist() == [0, 2, 4, 6]
    assert differing_rows(rows, copied).tolist() == [1]


def test_tables_of_another_length_are_not_compared() -> None:
    with pytest.raises(ValueError, match="64 and 80 bytes"):
        differing_rows(table(PADDED), table(PADDED, 5))


def test_a_table_without_rows_is_a_table() -> None:
    assert not len(differing_rows(copy_of(table(PADDED, 0)), table(PADDED, 0)))
