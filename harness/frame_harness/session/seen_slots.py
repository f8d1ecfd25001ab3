"""Reads the slot that a violation is about while the guest is as the check left it."""

from __future__ import annotations

from collections.abc import Sequence

from frame_harness.base.errors import HarnessError, ImageError
from frame_harness.base.units import Paddr, paddr_to_pfn
from frame_harness.contract.layout import StructLayout
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.checks import ClauseViolated
from frame_harness.image.image import Image
from frame_harness.judge.evidence import SlotBytes


def slot_seen(
    error: BaseException | None, kernels: Sequence[Kernel], image: Image | None
) -> SlotBytes | None:
    """The slot of a violation's frame; None where its bytes are not known for sure.

    They are not where the check did not keep them and had several guests, where its slots have another layout
    than the contract's, or where the slot holds something else by now than what was compared.
    """
    if not isinstance(error, ClauseViolated) or error.frame is None:
        return None
    if not (error.field or error.values or error.slot):
        return None
    layout = _layout_of(image) if image else None
    if layout is None or not (error.slot or len(kernels) == 1):
        return None
    data = error.slot or _in_ram(kernels[0], error.frame)
    if len(data) != layout.size or not _is_what_was_found(data, error, layout):
        return None
    return SlotBytes(got=data.hex(), expected=_values(error, layout))


def _layout_of(image: Image) -> StructLayout | None:
    """The contract's layout, where the image has the same; one that has no slots at all has another."""
    contract = image.subject.contract
    try:
        differs = contract.layouts.diff(contract.slot, image.layout(image.slot_type))
    except ImageError:
        return None
    return None if differs or image.slot_layout != contract.slot else contract.slot


def _in_ram(kernel: Kernel, paddr: Paddr) -> bytes:
    """The bytes of a frame's slot; none where it has no slot, or where the table is not in RAM."""
    try:
        slots = kernel.slots()
    except (HarnessError, ClauseViolated):
        return b""
    pfn = paddr_to_pfn(paddr)
    return bytes(slots[pfn].tobytes()) if pfn < len(slots) else b""


def _is_what_was_found(data: bytes, error: ClauseViolated, layout: StructLayout) -> bool:
    field, found = layout.field(error.field), error.values.got if error.values else {}
    if field is None or error.field not in found:
        return True
    return int.from_bytes(data[field.offset : field.end], "little") == found[error.field]


def _values(error: ClauseViolated, layout: StructLayout) -> dict[str, int]:
    """What was promised, where that is a value that the field can hold."""
    promised = error.values.expected if error.values else {}
    widths = layout.widths
    return {
        name: value for name, value in promised.items() if name in widths and 0 <= value < 1 << widths[name]
    }
