"""What tests expect of a field of a slot, as it lies in the guest's RAM."""

from __future__ import annotations

from frame_harness.base.units import Paddr, paddr_to_pfn
from frame_harness.frame_guest.view import GuestView
from frame_harness.frame_metadata.constants import C
from frame_harness.guest.checks import ClauseViolated, expect, number, says
from frame_harness.guest.reply import Reply


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


def refusal_words(paddr: Paddr, count: int) -> tuple[str, str, str]:
    """What a refused claim names, for `says`: the frame, its count, the sentinel that was expected."""
    return f"{paddr:#x}", number(count), f"REFCOUNT_UNUSED|{number(C.refcount_unused)}"


def expect_refusal(what: str, reply: Reply, paddr: Paddr, count: int) -> None:
    """Require that an allocation refused a frame with this count, by a panic that names all of it.

    Raises:
        ClauseViolated: it did something else, or said less.
    """
    said = reply.outcome.text if reply.status == "panic" else ""
    if not all(says(said, words) for words in refusal_words(paddr, count)):
        wanted = f"a panic that names the frame {paddr:#x}, its count {count:#x} and REFCOUNT_UNUSED"
        raise ClauseViolated(what, expected=wanted, got=said or reply.shown, frame=paddr, field="refcount")
