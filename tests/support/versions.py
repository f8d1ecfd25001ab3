"""Other versions and layouts of the built-in frame module."""

from __future__ import annotations

from pathlib import Path

from frame_harness.frame_metadata.subject import frame_module
from tests.support.mutants import Edit, apply

OLDER = Path(__file__).with_name("older_frame.rs")
UNJUDGEABLE = "pub struct PhysFrame {\n    pub start: u64,\n}\n\npub use crate::vfs::Inode;\n"
# As it was before there were movable frames, and memory that the HHDM does not map.
BEFORE_MOVABLE: tuple[Edit, ...] = (
    (
        "    /// The content may move to another frame.\n    pub const MOVABLE: u32 = 1 << 13;\n",
        "",
    ),
    ("frame_flags::USER | frame_flags::MOVABLE,", "frame_flags::USER,"),
    ("buddy::alloc_migratetype(token, 0, self.migratetype())?", "buddy::alloc(token, 0)?"),
    (
        "        match self.purpose.flags() & frame_flags::MOVABLE {\n"
        "            0 => Migratetype::Unmovable,\n"
        "            _ => Migratetype::Movable,\n"
        "        }\n",
        "        Migratetype::Unmovable\n",
    ),
    ("boot_alloc.try_alloc_accessible(", "boot_alloc.try_alloc("),
)
# What a kernel's module may use of its crate.
CHATTY: tuple[Edit, ...] = (
    (
        "    pub fn requires_zero(self) -> bool {\n        self == Self::PageTable\n",
        "    pub fn requires_zero(self) -> bool {\n"
        "        let words = [format!(\"asked of {self:?}\"), String::from(\"twice\")];\n"
        "        let bytes = if self == Self::Custom(7) { 1 << 20 } else { 1 << 10 };\n"
        "        drop(alloc::vec::Vec::<u8>::with_capacity(bytes));\n"
        "        crate::serial_println!(\"{}, {}\", words[0], words[1]);\n"
        "        serial_print!(\"a part\\n\");\n"
        "        log::warn!(\"mind {}\", 1);\n"
        "        self == Self::PageTable\n",
    ),
    ("use core::ptr;\n", "use alloc::{format, string::String};\nuse core::ptr;\n"),
)  # fmt: skip


def split(folder: Path, edits: tuple[Edit, ...] = ()) -> Path:
    """Write the built-in module as `memory/frame.rs` with modules in `memory/frame/`; return its path."""
    text = apply(frame_module().path.read_text(encoding="utf-8"), edits)
    head, _, rest = text.partition("impl MetaSlot {\n")
    methods, _, rest = rest.partition("\n}\n")
    middle, _, physical = rest.partition("// ---- Frames by address")
    _, _, physical = physical.partition("\n")
    # What the rest of the module calls of these methods is private no longer.
    methods = methods.replace("\n    fn ", "\n    pub(super) fn ")
    memory = folder / "memory"
    (memory / "frame").mkdir(parents=True)
    own = "mod physical;\nmod slot;\n\npub use "
    own += "physical::{AllocError, FrameAllocator, FrameRangeInclusive, PhysFrame};\n"
    (memory / "frame.rs").write_text(f"{head}{middle}\n{own}", encoding="utf-8")
    (memory / "frame" / "slot.rs").write_text(
        f"use super::*;\n\nimpl MetaSlot {{\n{methods}\n}}\n", encoding="utf-8"
    )
    (memory / "frame" / "physical.rs").write_text(f"use super::*;\n{physical}", encoding="utf-8")
    return memory / "frame.rs"
