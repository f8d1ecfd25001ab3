"""What a change of a module's text is a change of."""

from __future__ import annotations

import pytest

from frame_harness.frame_metadata.subject import frame_module
from tests.support.edit_place import changed_items, item_at
from tests.support.mutants import apply

TEXT = frame_module().path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("KERNEL_ONLY: u32 = 1;", "KERNEL_ONLY: u32 = 2;", {"meta_guard::KERNEL_ONLY"}),
        ("self.meta_aux.store(v, Relaxed)", "self.meta_aux.store(0, Relaxed)", {"MetaSlot::meta_aux_store"}),
        ("    pub _reserved_tail: [u8; 16],\n", "    pub _tail: [u8; 16],\n", {"MetaSlot"}),
        ("        slot.set_order(0);\n", "", {"FrameAllocOptions::make_live", "FrameAllocOptions::allocate"}),
        ("if frame > self.end {", "if frame >= self.end {", {"FrameRangeInclusive::next"}),
        (
            "bytes.div_ceil(PAGE_SIZE)",
            "bytes / PAGE_SIZE",
            {"frames_covering", "metadata_size_for", "init_metadata_array"},
        ),
    ],
)
def test_a_change_belongs_to_its_item_and_to_who_leads_to_it(old: str, new: str, expected: set[str]) -> None:
    assert changed_items(TEXT, apply(TEXT, [(old, new)])) == expected


def test_a_line_between_items_belongs_to_none() -> None:
    assert item_at(TEXT, 1) == ""
