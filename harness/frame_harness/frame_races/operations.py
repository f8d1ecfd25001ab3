"""How the commands of a guest with a frame module are called where two CPUs are on one slot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.surface import ALONE
from frame_harness.races.operations import Calls, Method

UNUSED: Final = C.refcount_unused
POISONED: Final = C.guard_poisoned
GENERATION: Final = 0x100_0029
"""Of the frame, to begin with; ours."""
ALLOCATES: Final = "alloc"

ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    # Through the builder; not zeroed, as the zeros are the payload's, not the slot's.
    ALLOCATES: ("new zeroed=0",),
    "purpose.zero": ("pagetable", "kernel"),
}
"""Of commands whose usage is no list of numbers."""

APART: Final[Mapping[str, tuple[str, ...]]] = {
    # Of the same kind of memory: for another one the buddy first has to take a large block apart.
    ALLOCATES: ("new zeroed=1 purpose=custom:2",),
}
"""Of the same: what two calls that get two frames must not mix up."""

VALUES: Final[Mapping[str, tuple[int | str, ...]]] = {
    "paddr": ("{frame:#x}",),
    "slot.set_vtable_bits bits": (0, "{unmap:#x}", "{lastref:#x}", "{misaligned:#x}"),
    "slot.set_guard bits": (0, POISONED | 2),
    "slot.fetch_or_guard bits": (2, POISONED),
    "slot.set_order order": (3, 10),
    "array.poisoned order": (0,),
    "flags": (0xA5A5_0902, 0),
    "count": (0x5A_0005, 1),
    "expect": (2, UNUSED),
    "new": (9,),
    "generation": (GENERATION + 2, 0xA5A5_5A5A),
    "gen": (GENERATION, GENERATION + 1),
    "value": (0xA5A5_5A5A, 0),
    "next": (0xA5A5_0000_5A5A_0000, 0),
    "ram": (0xA5A5_5A5A_1000, 0x5A5A_0000_3001),
    "addr": (0xA_5A5A_0123, 0x5_A5A5_A000),
    "prev": (0xA5A5_0000_5A5A_0000, 0),
}
"""By operand, or command and operand; ours: each half of a value differs from what the scenes begin with."""
ANY_VALUE: Final = (0x5A,)
"""Of an operand that the table does not know; ours."""


def function_of(method: Method) -> str:
    """The end of the path of the frame module's function that a command is there to call."""
    if method.name == ALLOCATES:
        return FRAME_METADATA.functions.allocates
    room, _, rest = method.name.partition(".")
    return f"{FRAME_METADATA.slot.name}::{rest}" if room == "slot" else f"frame::{method.help.split()[0]}"


CALLS: Final = Calls(ALONE, ARGUMENTS, VALUES, ANY_VALUE, function_of, APART)
