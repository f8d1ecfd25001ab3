"""Follows values that come from a guest: addresses, links, counts, what they lead to.

A broken subject may put anything there. Following it raises nothing but `ImpossibleValue`, which names the
clause that promises what was followed.
"""

from __future__ import annotations

from frame_harness.base.units import PAGE_SIZE, Paddr, Pfn, paddr_to_pfn, pfn_to_paddr
from frame_harness.frame_guest.view import GuestView
from frame_harness.frame_metadata.constants import C
from frame_harness.guest.checks import ImpossibleValue


def block_handed_out(kernel: GuestView, paddr: Paddr, order: int = 0, *, by: str = "") -> Paddr:
    """Return the address of a block that the guest handed out.

    Args:
        by: path of the subject's function that handed it out, where one did.
    Raises:
        ImpossibleValue: it is no block of frames that have slots and RAM.
    """
    length = PAGE_SIZE << order
    whole = paddr % PAGE_SIZE == 0 and paddr + length <= pfn_to_paddr(Pfn(kernel.frames))
    if not whole or not kernel.ram.holds(paddr, length):
        raise ImpossibleValue(
            "ALLOC-14",
            "frame handed out" if order == 0 else f"block of order {order} handed out",
            expected="frames of RAM that have slots",
            got=f"{paddr:#x}",
            frame=paddr,
            function=by,
        )
    return paddr


def free_blocks(kernel: GuestView) -> set[tuple[Pfn, int, str]]:
    """Every block on a free list as (first pfn, order, migratetype), read by walking the links in RAM.

    Raises:
        ImpossibleValue: a link leads to no frame, or back.
    """
    state, following = kernel.buddy(), kernel.slots()["next"]
    blocks: set[tuple[Pfn, int, str]] = set()
    for zone in state["zones"][: int(state["n_zones"])]:
        for kind, heads in zip(("unmovable", "movable"), zone["heads"], strict=True):
            for order, head in enumerate(heads.tolist()):
                paddr = Paddr(head)
                while paddr != C.link_none:
                    block = (paddr_to_pfn(paddr), order, kind)
                    if paddr % PAGE_SIZE or block[0] + (1 << order) > len(following):
                        raise _bad_link(block, f"a link to {paddr:#x}", "links to blocks that have slots")
                    if block in blocks:
                        raise _bad_link(block, f"a link back to {paddr:#x}", "links that come to an end")
                    blocks.add(block)
                    paddr = Paddr(int(following[block[0]]))
    return blocks


def _bad_link(block: tuple[Pfn, int, str], got: str, expected: str) -> ImpossibleValue:
    pfn, order, kind = block
    return ImpossibleValue(
        "FREE-03",
        f"{kind} free list of order {order}",
        expected=expected,
        got=got,
        frame=pfn_to_paddr(pfn),
        field="next",
    )


def cached_frames(kernel: GuestView) -> set[Paddr]:
    """Physical addresses of the frames in the CPU caches, whatever they are."""
    caches = kernel.buddy()["caches"].reshape(-1)
    return {Paddr(int(p)) for cache in caches for p in cache["frames"][: int(cache["len"])]}


def frames_of_the_buddy(kernel: GuestView, pfns: set[Pfn]) -> set[Pfn]:
    """Return frames that slots call allocated.

    Raises:
        ImpossibleValue: one of them was never the buddy's to give.
    """
    given = [region for region in kernel.memory_map() if region.kind == "ram"]
    for pfn in sorted(pfns):
        first, end = pfn_to_paddr(pfn), pfn_to_paddr(Pfn(pfn + 1))
        if not any(region.base <= first and end <= region.end for region in given):
            raise ImpossibleValue(
                "ARRAY-11",
                "slot that calls its frame allocated",
                expected="a frame that the buddy may hand out",
                got=f"frame {first:#x}",
                frame=first,
                field="flags",
            )
    return pfns
