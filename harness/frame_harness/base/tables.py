"""Arrays of records as bytes.

numpy copies and compares a record field after field, which takes ten times as long as its bytes do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.ma  # else `np.unique` imports it when it is first called, in each forked process anew
from numpy.typing import NDArray


def copy_of(table: NDArray[Any]) -> NDArray[Any]:
    """A copy of a table, shape (n,), the bytes between its fields included."""
    return np.array(_in_a_row(table).view(np.uint8)).view(table.dtype)


def differing_rows(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.int64]:
    """The rows of two tables of the same layout, shape (n,), that do not hold the same bytes.

    Returns:
        Shape (k,), ascending.
    Raises:
        ValueError: the tables have not the same number of bytes.
    """
    words = np.uint64 if one.itemsize % 8 == 0 else np.uint8
    left, right = (_in_a_row(table).view(words) for table in (one, other))
    if left.shape != right.shape:
        raise ValueError(f"tables of {left.nbytes} and {right.nbytes} bytes")
    differing = np.flatnonzero(left != right)
    return np.unique(differing // (one.itemsize // left.itemsize))


def _in_a_row(table: NDArray[Any]) -> NDArray[Any]:
    """Records one behind the other, as nothing but bytes; no copy where they are already."""
    return np.ascontiguousarray(table.view(f"V{table.itemsize}"))
