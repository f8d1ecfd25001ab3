"""What the words in a slot mean, in the contract's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from frame_harness.frame_metadata.constants import C, Constants

_FLAG, _GUARD = "flag_", "guard_"


def _bits(prefix: str) -> dict[str, int]:
    names = [one.name for one in fields(Constants) if one.name.startswith(prefix)]
    return {name.removeprefix(prefix).upper(): int(getattr(C, name)) for name in names}


FLAGS: Mapping[str, int] = _bits(_FLAG)
"""The bits of `flags`, by name."""
GUARDS: Mapping[str, int] = _bits(_GUARD)
"""The bits of `guard`, by name."""


def bits_in_words(value: int, bits: Mapping[str, int]) -> str:
    """`ALLOCATED KERNEL 0x4`: the bits that have a name, then the others as one number; else `none`."""
    words = [name for name, bit in bits.items() if value & bit]
    for bit in bits.values():
        value &= ~bit
    return " ".join([*words, *([f"{value:#x}"] if value else [])]) or "none"
