"""Holds a slot, as DWARF and as the guest's bytes show it, against the contract."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from frame_harness.base.units import Paddr, paddr_to_pfn
from frame_harness.contract.contract import Contract
from frame_harness.contract.layout import FieldLayout, StructLayout
from frame_harness.contract.methods import Case, SlotMethod
from frame_harness.contract.preflight import Preflight
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.guest.errors import AllocFailed, SubjectPanic
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

    Setters tell which bytes a field has; of a field without one, other methods that store an operand there. A
    subject that gives out no frame is seen by the checks: the bytes stay unread, the text says why. So they
    do where no method stores anything.
    """
    image, dwarf, layout = kernel.image, dwarf_evidence(kernel), kernel.image.slot_layout
    contract = image.subject.contract
    there = [method for method in contract.methods if image.has(contract.path_of(method))]
    owned = {method.name: layout.field(method.owns) for method in there if method.owns}
    # An older version may keep in another field what the setter is given: nothing says where.
    setters = {name: field for name, field in owned.items() if field is not None}
    left = contract.slot.widths.keys() - {field.leaf for field in setters.values()}
    others = _storing(contract, layout, there, left) if left and dwarf.dwarf is not Witness.DIFFERS else []
    moved, why = list[str](), list[str]()
    try:
        for setter, field in setters.items():
            with preflight.lend(kernel) as paddr:
                moved.append(_probe(kernel, paddr, setter, field))
        for method, case, field in others:
            with preflight.lend(kernel) as paddr:
                moved.append(_probe_call(kernel, paddr, method, case, field))
    except (SubjectPanic, AllocFailed) as refused:
        why.append(str(refused))
    if not (setters or others or dwarf.text):
        why.append("no method of the contract stores an operand")
    guest_bytes = Witness.EQUAL if moved and not why else Witness.UNREAD
    return LayoutEvidence(
        dwarf=dwarf.dwarf,
        guest_bytes=Witness.DIFFERS if any(moved) else guest_bytes,
        text="; ".join(filter(None, [dwarf.text, *moved, *why])),
    )


def _storing(
    contract: Contract, layout: StructLayout, methods: Iterable[SlotMethod], fields: Collection[str]
) -> list[tuple[SlotMethod, Case, FieldLayout]]:
    """A call of each method that stores an operand in one of these fields, with that field.

    Args:
        layout: of a slot in this version; what has another width there takes other values.
    """
    others = {name for name, bits in layout.widths.items() if contract.slot.widths.get(name) != bits}
    found = []
    for method in methods:
        case, name = method.storing(contract.slot) or (None, "")
        field = layout.field(name)
        if case is not None and field is not None and name in fields and not others & case.before.keys():
            found.append((method, case, field))
    return found


def _probe_call(kernel: Kernel, paddr: Paddr, method: SlotMethod, case: Case, wanted: FieldLayout) -> str:
    """Say what a call leaves in a field's bytes, when that is not the operand that it stores there."""
    row = kernel.slots()[(pfn := paddr_to_pfn(paddr)) : pfn + 1].view(np.uint8)
    kept, slot = row.copy(), kernel.image.slot_layout
    expected = case.allowed[0].after[wanted.leaf]
    for name, value in case.before.items():
        if (field := slot.field(name)) is not None:
            row[field.offset : field.end] = list(value.to_bytes(field.size, "little"))
    try:
        kernel.slot(paddr).call(method.name, *case.arguments)
        got = int.from_bytes(row[wanted.offset : wanted.end].tobytes(), "little")
    finally:
        row[:] = kept
    if got == expected:
        return ""
    where = f"bytes {wanted.offset} to {wanted.end - 1} of the slot"
    return f"{method.name} leaves {got:#x} in {where}, expected {expected:#x}"


def _probe(kernel: Kernel, paddr: Paddr, setter: str, wanted: FieldLayout) -> str:
    """Say which bytes of a slot a setter changes, when those are not the contract's."""
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
