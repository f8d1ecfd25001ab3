"""Boundary values of integers."""

from __future__ import annotations


def around(bits: int) -> tuple[int, ...]:
    """2^k - 1, 2^k, 2^k + 1 for every k of a width; the first four values and the last four.

    The sentinels of the contract (all ones, zero, single bits) with their neighbors are among them. Where a
    method may refuse the value beside all ones, the next one is the last that it must take.
    """
    last = (1 << bits) - 1
    centers = [0, *(1 << k for k in range(bits + 1)), last, last - 2]
    return tuple(sorted({value for c in centers for value in (c - 1, c, c + 1) if 0 <= value < 1 << bits}))


def one_bit_off(value: int, bits: int) -> tuple[int, ...]:
    """Every value that differs in one bit: what a comparison of fewer bits takes for equal."""
    return tuple(value ^ 1 << bit for bit in range(bits))
