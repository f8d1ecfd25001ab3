"""Decides whether what a core answered to a request was permitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from frame_harness.base.units import PAGE_SIZE, Paddr, pfn_to_paddr
from frame_harness.memory_core import judging
from frame_harness.memory_core.catalogue import DMA_END
from frame_harness.memory_core.judging import CoreViolation, Owned
from frame_harness.memory_core.maps import Span, without
from frame_harness.memory_core.state import ZONES, CoreState
from frame_harness.memory_core.steps import ANY_ZONE, Alloc, Fill, FrameAlloc


def judge_block(
    step: Alloc | Fill | FrameAlloc, block: Owned, paddr: Paddr, before: CoreState, usable: Sequence[Span]
) -> Iterator[CoreViolation]:
    """What is wrong with a block that was given.

    Args:
        before: the state in which it was asked for.
        usable: memory that the core may give.
    """
    what = f"the block of order {step.order} that was given"
    span = (pfn_to_paddr(block.pfn), pfn_to_paddr(block.end))
    if without([span], usable):
        yield CoreViolation("CORE-12", what, "usable memory of the map", f"{span[0]:#x}..{span[1]:#x}", paddr)
    if paddr & ((PAGE_SIZE << step.order) - 1) and not _was_misaligned(block, before):
        yield CoreViolation(
            "CORE-13", what, f"a multiple of {PAGE_SIZE << step.order:#x}", f"{paddr:#x}", paddr
        )
    if step.zone == ZONES[0] and span[1] > DMA_END:
        got = f"{span[0]:#x}..{span[1]:#x}"
        yield CoreViolation("CORE-12", what, f"memory below {DMA_END:#x}, as zone dma is", got, paddr, "DMA")
    zone = before.zone_of(block.pfn)
    if step.zone != ANY_ZONE and zone is not None and ZONES[zone] != step.zone:
        yield CoreViolation("CORE-12", what, f"zone {step.zone}", f"zone {ZONES[zone]}", paddr, "zone")


def too_large(order: int, paddr: Paddr, max_order: int) -> CoreViolation:
    """What is wrong with a block of an order that the core has no list for."""
    what, expected = (
        f"the block of order {order} that was given",
        f"an error: the largest order is {max_order}",
    )
    return CoreViolation("CORE-12", what, expected, f"ok paddr={paddr:#x}", paddr, "order")


def judge_error(
    step: Alloc | Fill | FrameAlloc, code: str, state: CoreState, cpu: int = 0
) -> Iterator[CoreViolation]:
    """Whether an allocation may fail in a state.

    Args:
        code: the core's word for the error.
        cpu: that asked.
    """
    if step.order > state.max_order:
        return
    there = judging.can_serve(state, step.order, step.zone)
    if there is not None:
        what = f"an allocation of order {step.order}, {step.kind}, in zone {step.zone}"
        expected = f"a block, for frames are free from {pfn_to_paddr(there):#x} on"
        cause = judging.why_not(state, step.order, step.kind, step.zone, cpu)
        yield CoreViolation("CORE-10", what, expected, f"{code}, with {cause}", pfn_to_paddr(there), cause)


def _was_misaligned(block: Owned, before: CoreState) -> bool:
    """Whether it was part of a free block that began at the wrong place, which is a fault of its own."""
    return any(
        one.pfn & ((1 << one.order) - 1) and one.pfn < block.end and block.pfn < one.end
        for one in before.blocks
    )
