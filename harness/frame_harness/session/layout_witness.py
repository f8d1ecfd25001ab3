"""Holds a slot, as DWARF and as the guest's bytes show it, against the contract."""

from __future__ import annotations

from typing import Any

import numpy as np

from frame_harness.base.units import Paddr, paddr_to_pfn
from frame_harness.contract.layout import FieldLayout
from frame_harness.contract.preflight import Preflight
from frame_harness.guest.errors import AllocFailed, SubjectPanic
from frame_harness.guest.kernel import Kernel
from frame_harness.judge.evidence import LayoutEvidence, Witness

# Ours: written one after the other, so that a byte that held the first by chance still changes.
PROBES = (0x11, 0x22)


def dwarf_evidence(kernel: Kernel) -> LayoutEvidence:
    """Measure DWARF against the contract; the guest's bytes are still to be looked at."""
    image = kernel.image
    differences = image.subject.contract.layouts.diff(image.slot_layout, image.layout(image.slot_type))
    return LayoutEvidence(
        dwarf=Witness.DIFFERS if differences else Witness.EQUAL,
        guest_bytes=Witness.UNREAD,
        text="; ".join(str(difference) for difference in differences),
    )


def layout_evidence(kernel: Kernel, preflight: Preflight[Any]) -> LayoutEvidence:
    """Measure DWARF and the guest's bytes against the contract.

    A subject that gives out no frame is seen by the checks: the bytes stay unread, the text says why. So they
    do where there is no method to tell them by.
    """
    image, dwarf, layout = kernel.image, dwarf_evidence(kernel), kernel.image.slot_layout
    contract = image.subject.contract
    setters = {
        setter: field
        for setter, field in contract.setters.items()
        if image.has(f"{contract.slot.name}::{setter}")
    }
    try:
        moved = []
        for setter, name in setters.items():
            with preflight.lend(kernel) as paddr:
                moved.append(_probe(kernel, paddr, setter, layout.field(name)))
        guest_bytes = Witness.DIFFERS if any(moved) else Witness.EQUAL
        if not setters:
            moved, guest_bytes = ["no method of the contract stores one field"], Witness.UNREAD
    except (SubjectPanic, AllocFailed) as refused:
        moved, guest_bytes = [str(refused)], Witness.UNREAD
    return LayoutEvidence(
        dwarf=dwarf.dwarf, guest_bytes=guest_bytes, text="; ".join(filter(None, [dwarf.text, *moved]))
    )


def _probe(kernel: Kernel, paddr: Paddr, setter: str, wanted: FieldLayout | None) -> str:
    """Say which bytes of a slot a setter changes, when those are not the contract's."""
    if wanted is None:
        raise KeyError(setter)
    row = kernel.slots()[(pfn := paddr_to_pfn(paddr)) : pfn + 1].view(np.uint8)
    kept = row.copy()
    changed, refused = np.zeros(row.shape, dtype=bool), ""
    for probe in PROBES:
        before = row.copy()
        try:
            kernel.slot(paddr).call(setter, int.from_bytes(bytes([probe]) * wanted.size, "little"))
        except SubjectPanic as panic:
            refused = refused or f"{setter} panics: {panic.message}"
        changed |= row != before
    row[:] = kept
    if refused:
        return refused
    offsets = np.flatnonzero(changed).tolist()
    if offsets == list(range(wanted.offset, wanted.end)):
        return ""
    return f"{setter} changes bytes {offsets} of the slot, expected {wanted.offset} to {wanted.end - 1}"
