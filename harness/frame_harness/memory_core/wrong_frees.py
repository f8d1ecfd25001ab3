"""Frees that a core has to refuse: of what was not given, or otherwise than it was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn, pfn_to_paddr
from frame_harness.memory_core.judging import Owned
from frame_harness.memory_core.maps import MemoryMap
from frame_harness.memory_core.state import LARGEST_BYTE_ORDER, CoreState


@dataclass(frozen=True)
class Target:
    """What a wrong free can be near to."""

    state: CoreState
    memory: MemoryMap
    block: Owned | None
    """That a caller holds; None where he holds none any more."""
    old: Owned | None
    """The block as it was given."""
    held: Sequence[Owned]
    """All that callers hold."""


@dataclass(frozen=True)
class WrongRequest:
    """The operands of a wrong free; `gives_up`: the caller does not hold the block any more afterwards."""

    paddr: Paddr
    order: int
    gives_up: bool = False


def target_of(how: str, near: Target) -> WrongRequest | None:
    """The operands of a wrong free; None where there is nothing of that sort."""
    return _WAYS[how](near)


def _again(near: Target) -> WrongRequest | None:
    old = near.old
    if old is None or near.block is not None:
        return None
    taken = any(one.pfn < old.end and old.pfn < one.end for one in near.held)
    return None if taken else WrongRequest(pfn_to_paddr(old.pfn), old.order)


def _piece(near: Target) -> WrongRequest | None:
    whole = _again(near)
    return WrongRequest(whole.paddr, 0) if whole and whole.order else None


def _larger(near: Target) -> WrongRequest | None:
    block = near.block
    if block is None or block.order >= near.state.max_order:
        return None
    return WrongRequest(pfn_to_paddr(block.pfn), block.order + 1, gives_up=True)


def _largest(near: Target) -> WrongRequest | None:
    block = near.block
    if block is None:
        return None
    order = min((block.pfn & -block.pfn).bit_length() - 1, near.state.max_order)
    return WrongRequest(pfn_to_paddr(block.pfn), order, gives_up=True) if order > block.order else None


def _smaller(near: Target) -> WrongRequest | None:
    block = near.block
    return WrongRequest(pfn_to_paddr(block.pfn), block.order - 1) if block and block.order else None


def _inside(near: Target) -> WrongRequest | None:
    block = near.block
    return WrongRequest(pfn_to_paddr(Pfn(block.pfn + 1)), 0) if block and block.order else None


def _first(near: Target) -> WrongRequest | None:
    block = near.block
    return WrongRequest(pfn_to_paddr(block.pfn), 0) if block and block.order else None


def _last(near: Target) -> WrongRequest | None:
    block = near.block
    return WrongRequest(pfn_to_paddr(Pfn(block.end - 1)), 0) if block and block.order else None


def _half(near: Target) -> WrongRequest | None:
    block = near.block
    if block is None or not block.order:
        return None
    half = block.order - 1
    return WrongRequest(pfn_to_paddr(Pfn(block.pfn + (1 << half))), half)


def _beyond(near: Target) -> WrongRequest | None:
    block = near.block
    return WrongRequest(pfn_to_paddr(block.pfn), block.order + NO_ORDER) if block else None


def _modulo(near: Target) -> WrongRequest | None:
    block, orders = near.block, near.state.max_order + 1
    if block is None:
        return None
    more = (LARGEST_BYTE_ORDER - block.order) // orders * orders
    return WrongRequest(pfn_to_paddr(block.pfn), block.order + more)


def _far(near: Target) -> WrongRequest | None:
    block = near.block
    return WrongRequest(Paddr(pfn_to_paddr(block.pfn) + NO_MEMORY), block.order) if block else None


def _neighbor(near: Target) -> WrongRequest | None:
    block = near.block
    if block is None or not any(one.pfn <= block.end < one.end for one in near.state.blocks):
        return None
    return WrongRequest(pfn_to_paddr(block.end), block.order)


def _free(near: Target) -> WrongRequest | None:
    blocks = near.state.blocks
    return WrongRequest(pfn_to_paddr(blocks[0].pfn), 0) if blocks else None


def _structure(near: Target) -> WrongRequest | None:
    own = near.state.structures
    return WrongRequest(pfn_to_paddr(paddr_to_pfn(own[0].span[0])), 0) if own else None


def _reserved(near: Target) -> WrongRequest | None:
    there = [first for first, end in near.memory.forbidden if end <= near.memory.top]
    return WrongRequest(there[0], 0) if there else None


def _odd(near: Target) -> WrongRequest | None:
    block = near.block
    return WrongRequest(Paddr(pfn_to_paddr(block.pfn) + 16), block.order) if block else None


NO_ORDER: Final = 128
"""Added to an order it is one that no core has; whoever looks at a few of its bits takes it for the same."""
NO_MEMORY: Final = 1 << 51
"""Added to an address there is no memory, but who looks at fewer of its bits finds the same."""
_WAYS: Final[Mapping[str, Callable[[Target], WrongRequest | None]]] = {
    "again": _again,
    "piece": _piece,
    "larger": _larger,
    "largest": _largest,
    "smaller": _smaller,
    "first": _first,
    "inside": _inside,
    "last": _last,
    "half": _half,
    "beyond": _beyond,
    "modulo": _modulo,
    "far": _far,
    "neighbor": _neighbor,
    "free": _free,
    "structure": _structure,
    "reserved": _reserved,
    "odd": _odd,
}
WRONG_FREES: Final = tuple(_WAYS)
"""How a free can be wrong: a block again; its first frame again; with a larger order, or the largest that may
begin there; with a smaller one; its first frame, the second, or the last; its upper half; an order that no
core has, which bits or a remainder hide; an address where no memory is; what lies behind it and is free; a
frame that is free; one of the core's own; a reserved one; an address in a frame."""
FREED_BEFORE: Final = frozenset({"again", "piece"})
"""Those behind a free of the same block."""
_LIKE: Final = {
    "piece": "again", "largest": "larger", "first": "smaller", "last": "inside", "half": "inside",
    "modulo": "beyond",
}  # fmt: skip


def cause_of(how: str) -> str:
    """The word for all wrong frees that a core takes for want of the same look."""
    return _LIKE.get(how, how)
