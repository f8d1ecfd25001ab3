"""What tests expect of a field of a slot, as it lies in the guest's RAM."""

from __future__ import annotations

from frame_harness.base.units import Paddr, paddr_to_pfn
from frame_harness.frame_guest.view import GuestView
from frame_harness.guest.checks import expect


def field_in_ram(kernel: GuestView, paddr: Paddr, field: str) -> int:
    """What a field of a frame's slot holds; no function of the module is called for it."""
    return int(kernel.slots()[paddr_to_pfn(paddr)][field])


def expect_field(
    kernel: GuestView,
    paddr: Paddr,
    field: str,
    expected: int,
    what: str,
    *,
    base: int = 10,
    function: str = "",
) -> None:
    """Require that a field of a frame's slot holds a value; `base` and `function` are those of `expect`.

    Raises:
        ClauseViolated: it holds another one.
    """
    got = field_in_ram(kernel, paddr, field)
    expect(what, got, expected, base=base, frame=paddr, field=field, function=function)
