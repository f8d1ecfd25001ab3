"""Contract section B: the layout of the metadata, from DWARF, from bytes, from the guest's own word."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from frame_harness.base.units import Paddr, Pfn
from frame_harness.contract import layout_map
from frame_harness.frame_guest.expecting import expect_field
from frame_harness.frame_guest.kernel import Kernel
from frame_harness.frame_metadata.layouts import LAYOUTS, META_SLOT
from frame_harness.guest.checks import ClauseViolated, expect
from frame_harness.image.image import Image

LINK_NONE = 2**64 - 1
NEW_SLOT = b"\xff" * 16 + bytes(48)

# Name of a recording vtable, whether it has on_last_ref, whether it has on_unmap.
VTABLES = [("both", True, True), ("lastref", True, False), ("unmap", False, True), ("empty", False, False)]

# Each setter of the module, the field it owns and a pattern that no neighbor's pattern shares a byte with.
SETTERS = [
    ("set_next", "next", 0x1122_3344_5566_7788),
    ("set_prev", "prev", 0x99AA_BBCC_DDEE_0102),
    ("set_vtable_bits", "vtable", 0x0304_0506_0708_090A),
    ("set_flags", "flags", 0x0B0C_0D0E),
    ("set_order", "order", 0x0F),
    ("set_refcount", "refcount", 0x1213_1415),
    ("set_generation", "generation", 0x1617_1819),
    ("set_guard", "guard", 0x1A1B_1C1D),
    ("meta_aux_store", "meta_aux", 0x1E1F_2021),
]


def expect_layout(image: Image, name: str) -> None:
    expected, actual = LAYOUTS[name], image.layout(name)
    if differences := LAYOUTS.diff(expected, actual):
        raise ClauseViolated(
            f"layout of {name}",
            expected=f"{expected.size} bytes as in the contract",
            got="; ".join(str(d) for d in differences),
            # What is wrong in the links alone is the business of their own type.
            field="next" if all(d.field in ("next", "prev") for d in differences) else "",
            exhibit=layout_map.render(expected, actual),
            function=name,
        )


@pytest.mark.level("declaration")
@pytest.mark.clause("LAYOUT-01", at="MetaSlot")
def test_slot_is_64_bytes_and_never_padded(shared_kernel: Kernel) -> None:
    const = shared_kernel.call("const")
    dwarf = shared_kernel.image.layout("MetaSlot")
    expect("size_of MetaSlot in the guest", const["size.MetaSlot"], 64)
    expect("DW_AT_byte_size of MetaSlot", dwarf.size, 64)
    expect("whether align_of MetaSlot is at most 64", const["align.MetaSlot"] <= 64, True)
    stride = shared_kernel.slot_vaddr(Paddr(0x1000)) - shared_kernel.slot_vaddr(Paddr(0))
    expect("distance of neighboring slots in the guest", stride, 64)


@pytest.mark.level("declaration")
@pytest.mark.clause("LAYOUT-02")
def test_every_field_of_the_slot_is_where_the_contract_puts_it(image: Image) -> None:
    expect_layout(image, "MetaSlot")


@pytest.mark.level("declaration")
@pytest.mark.clause("LAYOUT-03", at="MetaSlot")
def test_refcount_offset_constant_is_32_in_both_spellings(shared_kernel: Kernel) -> None:
    const = shared_kernel.call("const")
    expect("META_SLOT_REFCOUNT_BYTE_OFFSET", const["META_SLOT_REFCOUNT_BYTE_OFFSET"], 32)
    expect("MetaSlot::REFCOUNT_BYTE_OFFSET", const["MetaSlot::REFCOUNT_BYTE_OFFSET"], 32)
    offsets = {f.name: f.offset for f in shared_kernel.image.layout("MetaSlot").fields}
    expect("offset of refcount in DWARF", offsets.get("refcount"), 32)


@pytest.mark.level("declaration")
@pytest.mark.clause("LAYOUT-04")
def test_free_list_link_is_next_then_prev(image: Image) -> None:
    expect_layout(image, "FreeListLink")


@pytest.mark.level("declaration")
@pytest.mark.clause("LAYOUT-05")
def test_vtable_is_two_hooks_then_six_reserved_words(image: Image) -> None:
    expect_layout(image, "FrameMetaVtable")


@pytest.mark.clause("LAYOUT-05", at="MetaSlot::try_vtable_ref")
def test_a_null_hook_in_memory_is_none_to_the_subject(shared_kernel: Kernel) -> None:
    for name, on_last_ref, on_unmap in VTABLES:
        paddr = shared_kernel.alloc()
        vaddr = shared_kernel.vtable(name)
        words = shared_kernel.bytes_at(vaddr, 64).view(np.uint64)
        expect(
            f"whether the hook words of vtable {name} in RAM are not null",
            (bool(words[0]), bool(words[1])),
            (on_last_ref, on_unmap),
        )
        expect(f"reserved words of vtable {name} in RAM", words[2:].tolist(), [0] * 6)
        slot = shared_kernel.slot(paddr)
        slot.poke_field("vtable", vaddr)
        for method in ("try_vtable_ref", "vtable_ref"):
            seen = slot.call(method)
            expect(
                f"hooks that {method} reads",
                (seen["on_last_ref"], seen["on_unmap"]),
                (int(words[0]), int(words[1])),
                base=16,
                frame=paddr,
                function=f"MetaSlot::{method}",
            )


@pytest.mark.level("declaration")
@pytest.mark.clause("LAYOUT-06", at="FrameMeta")
def test_frame_meta_names_the_same_type(shared_kernel: Kernel) -> None:
    expect("whether FrameMeta is MetaSlot", shared_kernel.call("const")["same.FrameMeta"], 1)


@pytest.mark.clause("LAYOUT-07")
def test_three_witnesses_agree_on_each_field_set_alone(shared_kernel: Kernel) -> None:
    """Setting one field changes exactly its bytes: no overlap, no leak into a neighbor or a reserved byte."""
    pair = shared_kernel.buddy_alloc(1, "unmovable")  # a method may go by the slot's own address
    for (setter, field, pattern), paddr in itertools.product(SETTERS, (pair, Paddr(pair + 4096))):
        contract = {f.name: f for f in META_SLOT.fields}[field]
        shared_kernel.slot(paddr).poke(0, NEW_SLOT)
        shared_kernel.slot(paddr).call(setter, pattern)

        wanted = bytearray(NEW_SLOT)
        wanted[contract.offset : contract.offset + contract.size] = pattern.to_bytes(contract.size, "little")
        by_serial = shared_kernel.slot(paddr).peek()
        in_ram = shared_kernel.slots()[paddr >> 12].tobytes()
        expect(
            f"the slot's bytes after {setter}, as the guest prints them",
            by_serial.hex(),
            bytes(wanted).hex(),
            frame=paddr,
            field=field,
            function=f"MetaSlot::{setter}",
        )
        expect(
            f"the slot's bytes after {setter}, in mapped RAM",
            in_ram.hex(),
            bytes(wanted).hex(),
            frame=paddr,
            field=field,
            function=f"MetaSlot::{setter}",
        )
        expect_field(
            shared_kernel,
            paddr,
            field,
            pattern,
            f"field {field} as DWARF types it",
            base=16,
            function=f"MetaSlot::{setter}",
        )


@pytest.mark.clause("LAYOUT-07")
def test_a_table_full_of_distinct_patterns_is_the_same_in_all_witnesses(kernel: Kernel) -> None:
    """Every byte of 64 slots differs from its neighbors; serial dump and mapped RAM must agree on each."""
    first = Pfn(kernel.alloc() >> 12)
    pattern = np.arange(64 * 64, dtype=np.uint32).view(np.uint8)[::4].copy()
    pattern ^= np.repeat(np.arange(64, dtype=np.uint8), 64)
    live = kernel.slots()[first : first + 64]
    before = live.copy()
    live.view(np.uint8)[:] = pattern[: live.nbytes].reshape(live.view(np.uint8).shape)
    dumped = kernel.dump(first, 64)
    expect("64 patterned slots, serial dump against RAM", dumped.tobytes().hex(), live.tobytes().hex())
    live[:] = before


@pytest.mark.clause("LAYOUT-08", at="MetaSlot::new")
def test_a_new_slot_is_unlinked_and_otherwise_zero(shared_kernel: Kernel) -> None:
    expect("bytes of MetaSlot::new()", shared_kernel.call("slot.new").text("bytes"), NEW_SLOT.hex())
