"""Bugs of a core's owners of blocks, each with the clause that it breaks first."""

from __future__ import annotations

from tests.support.core_mutants import CoreMutant

OWNING_MUTANTS = (
    CoreMutant(
        "CORE-25",
        "no block is as large as can be",
        "block.rs",
        (("usize::from(self.order) <= MAX_ORDER", "usize::from(self.order) < MAX_ORDER"),),
    ),
    CoreMutant(
        "CORE-25", "any address is a block's", "block.rs",
        ((" && self.base.as_u64() % self.size_bytes() == 0", ""),),
    ),
    CoreMutant(
        "CORE-26", "looks at the next block alone", "ownership.rs",
        (("reaching(blocks, base, base + handle.size_bytes())", "reaching(blocks, base, base + 1)"),),
    ),
    CoreMutant(
        "CORE-26", "looks for the same base alone", "ownership.rs",
        (("reaching(blocks, base, base + handle.size_bytes()).is_some()", "blocks.contains_key(&base)"),),
    ),
    CoreMutant(
        "CORE-27", "a pin counts twice", "ownership.rs",
        (("            entry.transient_refs += 1;\n", "            entry.transient_refs += 2;\n"),),
    ),
    CoreMutant(
        "CORE-27", "two owners do not share", "ownership.rs",
        (("if entry.refcount > 1 {\n        BlockState", "if entry.refcount > 2 {\n        BlockState"),),
    ),
    CoreMutant(
        "CORE-28", "the slot stays as the claim left it", "ownership.rs",
        (("tell_slot(handle, entry.refcount);", "tell_slot(handle, entry.refcount.min(1));"),),
    ),
    CoreMutant(
        "CORE-28", "the slot has the order of a frame", "ownership.rs",
        (("slot.set_order(handle.order);", "slot.set_order(0);"),),
    ),
    CoreMutant(
        "CORE-29", "releases first and looks then", "ownership.rs",
        (
            (
                "            if entry.refcount > 1 {\n",
                "            if entry.refcount > 1 {\n                entry.dismiss(cap)?;\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-29", "a capability can be added again", "ownership.rs",
        (("if self.place_of(cap).is_ok() {", "if self.caps.len() > 9 {"),),
    ),
    CoreMutant(
        "CORE-30", "pins do not keep a block", "ownership.rs",
        (
            ("(0, _) => RemoveRefResult::Freed", "(_, None) => RemoveRefResult::Freed"),
            ("            (1, None) => ", "            (_, None) => "),
            ("if entry.refcount == 0 {", "if entry.caps.is_empty() {"),
        ),
    ),
    CoreMutant(
        "CORE-30", "the last pin frees nothing", "cow.rs",
        (
            (
                "Ok(RemoveRefResult::Freed(block)) => release_owned_block(block),",
                "Ok(RemoveRefResult::Freed(_)) => {}",
            ),
        ),
    ),
    CoreMutant(
        "CORE-31", "finds a block behind its end", "ownership.rs",
        (
            (
                "reaching(&self.blocks.lock(), paddr, paddr + 1)",
                "reaching(&self.blocks.lock(), paddr.saturating_sub(4096), paddr + 1)",
            ),
        ),
    ),
    CoreMutant(
        "CORE-31", "the block of a base is a frame or two", "ownership.rs",
        (("Some(BlockHandle::new(base, order))", "Some(BlockHandle::new(base, order.min(1)))"),),
    ),
    CoreMutant(
        "CORE-38", "takes all marks away", "cow.rs",
        (("mark(frame, |flags| flags & !frame_flags::COW)", "mark(frame, |_| 0)"),),
    ),
    CoreMutant(
        "CORE-38", "a library's frame is copied, too", "cow.rs",
        (("flags | frame_flags::DLL", "flags | frame_flags::DLL | frame_flags::COW"),),
    ),
    CoreMutant(
        "CORE-39", "the mark lies in the frame", "cow.rs",
        (
            (
                "    mark(frame, |flags| flags | frame_flags::COW)",
                "    let first = crate::memory::phys_to_virt(frame.start_address.as_u64());\n"
                "    // SAFETY: the kernel reaches all frames; that an owner's bytes lie there is the bug.\n"
                "    unsafe { (first as *mut u8).write(0xc0) };\n"
                "    mark(frame, |flags| flags | frame_flags::COW)",
            ),
        ),
    ),
    CoreMutant(
        "CORE-39", "a copy has one owner more", "cow.rs",
        (
            (
                "    slot.set_refcount(1);\n",
                "    slot.set_refcount(1);\n"
                "    let nobody = crate::capability::CapId::from_raw(0);\n"
                "    let _ = ownership_table().ensure_ref(handle, nobody);\n",
            ),
        ),
    ),
)  # fmt: skip
