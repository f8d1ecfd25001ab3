"""The expected layout of the frame module's three structures, written by hand from the contract."""

from frame_harness.contract.layout import RESERVED, FieldLayout, Layouts, StructLayout

OF_EVERY_FIELD = "LAYOUT-07"
"""The clause that says of each field what others say of one: a write changes its own field alone."""

META_SLOT = StructLayout(
    "MetaSlot",
    size=64,
    alignment=64,
    fields=(
        FieldLayout("next", 0, 8, "u64"),
        FieldLayout("prev", 8, 8, "u64"),
        FieldLayout("vtable", 16, 8, "u64"),
        FieldLayout("flags", 24, 4, "u32"),
        FieldLayout("order", 28, 1, "u8"),
        FieldLayout("reserved0", 29, 3, RESERVED),
        FieldLayout("refcount", 32, 4, "u32"),
        FieldLayout("generation", 36, 4, "u32"),
        FieldLayout("guard", 40, 4, "u32"),
        FieldLayout("meta_aux", 44, 4, "u32"),
        FieldLayout("reserved_tail", 48, 16, RESERVED),
    ),
)
FREE_LIST_LINK = StructLayout(
    "FreeListLink",
    size=16,
    alignment=64,
    fields=(FieldLayout("next", 0, 8, "u64"), FieldLayout("prev", 8, 8, "u64")),
)
FRAME_META_VTABLE = StructLayout(
    "FrameMetaVtable",
    size=64,
    alignment=64,
    fields=(
        FieldLayout("on_last_ref", 0, 8, "pointer"),
        FieldLayout("on_unmap", 8, 8, "pointer"),
        FieldLayout("reserved", 16, 48, RESERVED),
    ),
)
LAYOUTS = Layouts(
    (META_SLOT, FREE_LIST_LINK, FRAME_META_VTABLE),
    size_clause={"MetaSlot": "LAYOUT-01", "FreeListLink": "LAYOUT-04", "FrameMetaVtable": "LAYOUT-05"},
    field_clause={"MetaSlot": "LAYOUT-02", "FreeListLink": "LAYOUT-04", "FrameMetaVtable": "LAYOUT-05"},
    general=OF_EVERY_FIELD,
)
