"""Constants and types are found in the subject's text, whatever its layout."""

from __future__ import annotations

import pytest

from frame_harness.image.image import declaration_line

TEXT = """\
// const PAGE_SIZE: u64 = 1;
/* pub const PAGE_SIZE: u64 = 2;
*/ pub const PAGE_SIZE: u64 = 4096;
pub mod meta_guard { pub const NONE: u32 = 0;
    pub const POISONED: u32 = 1 << 31; }
pub mod frame_flags {
    pub const POISONED: u32 = 1 << 12;
}
#[repr(C)] pub struct MetaSlot { pub flags: u32 }
pub type FrameMeta = MetaSlot;
impl MetaSlot {
    pub const REFCOUNT_BYTE_OFFSET: usize = 32; pub const fn new() -> Self { todo!() }
}
pub enum AllocError { OutOfMemory }
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("PAGE_SIZE", 3),
        ("meta_guard::NONE", 4),
        ("meta_guard::POISONED", 5),
        ("frame_flags::POISONED", 7),
        ("MetaSlot", 9),
        ("FrameMeta", 10),
        ("MetaSlot::REFCOUNT_BYTE_OFFSET", 12),
        ("MetaSlot::new", 12),
        ("AllocError", 14),
        ("REFCOUNT_UNUSED", None),
        ("zone::PAGE_SIZE", None),
    ],
)
def test_a_declaration_is_found_by_its_path(path: str, line: int | None) -> None:
    assert declaration_line(TEXT, path) == line
