"""Bugs of the built-in allocators, each with the clause of a memory core that it breaks first."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.core_mutants import CORE_MUTANTS, CoreMutant
from tests.support.mutants import Edit, apply
from tests.support.red_kernels import LEFT_OUT, ROOT

SHIM = ROOT / "kernel_shim"
FRAME = "src/memory/frame.rs"


def bug(clause: str, name: str, file: str, *edits: Edit) -> CoreMutant:
    return CoreMutant(clause, name, file, edits)


_BUDDY, _LISTS, _STAMP = "parts/buddy.rs", "parts/buddy/lists.rs", "parts/buddy/stamp.rs"
_START, _DOOR = "src/memory/builtin_core.rs", "src/memory/buddy.rs"
_SLOTS = "src/memory/subject_slots.rs"

BUILTIN_MUTANTS = (
    bug("CORE-01", "room for few pieces", "parts/frame_ranges.rs", ("usize = 1100", "usize = 8")),
    bug(
        "CORE-02", "takes a page too few", "parts/boot_frames.rs",
        ("bytes.div_ceil(PAGE_SIZE)", "(bytes / PAGE_SIZE)"),
    ),
    bug("CORE-03", "forgets protected ranges", _START, (".chain(protected)", ".chain(protected.take(0))")),
    bug("CORE-04", "keeps what it gave", "parts/boot_frames.rs", ("        self.free.remove(&pfns);\n", "")),
    bug(
        "CORE-05", "forgets the last page of a region", "parts/usable.rs",
        ("..end / PAGE_SIZE)", "..(end / PAGE_SIZE).saturating_sub(1))"),
    ),
    bug(
        "CORE-06", "two pages begin anywhere", "parts/buddy/populate.rs",
        ("                let block = Block::largest_before(end, range.start);\n",
         "                let mut block = Block::largest_before(end, range.start);\n"
         "                if block.order == 1 && block.first_pfn == range.start + 1 {\n"
         "                    block.first_pfn = range.start;\n"
         "                }\n"),
    ),
    bug(
        "CORE-07", "the next block keeps its link", _LISTS,
        ("            after.set_previous_link(prev);\n", "            let _ = (after, prev);\n"),
    ),
    bug(
        "CORE-08", "merges small blocks alone", _LISTS,
        ("while (merged.order as usize) < MAX_ORDER &&", "while merged.order < 5 &&"),
    ),
    bug(
        "CORE-09", "expects memory", _DOOR,
        (".ok_or(AllocError::OutOfMemory)?;", ".expect(\"there is memory\");"),
    ),
    bug("CORE-10", "leaves caches alone", _BUDDY, ("if self.drain() == 0 {", "if true {")),
    bug(
        "CORE-11", "changes its mind", _DOOR,
        (".ok_or(AllocError::OutOfMemory)?;",
         ".or_else(|| {\n"
         "        use core::sync::atomic::{AtomicU64, Ordering::Relaxed};\n"
         "        static ASKED: AtomicU64 = AtomicU64::new(0);\n"
         "        let asked = ASKED.fetch_add(1, Relaxed);\n"
         "        let boot = super::boot_alloc::lock();\n"
         "        let table = boot.frames.taken().iter().next().map_or(0, |range| range.start);\n"
         "        (asked % 2 == 1).then_some(table)\n"
         "    }).ok_or(AllocError::OutOfMemory)?;"),
    ),
    bug(
        "CORE-12", "another zone", _BUDDY,
        ("buddy.state.zones[zone as usize].take(&buddy.slots, order, migratetype)?",
         "buddy.state.zones[zone as usize].take(&buddy.slots, order, migratetype)"
         ".or_else(|| buddy.state.take_block(&buddy.slots, order, migratetype))?"),
    ),
    bug(
        "CORE-13", "the wrong half", _BUDDY,
        ("        block.first_pfn\n    }", "        block.first_pfn + u64::from(order == 2)\n    }"),
    ),
    bug(
        "CORE-14", "a cached page stays cached", "parts/buddy/state.rs",
        ("        let last = *self.frames().last()?;\n        self.len -= 1;\n",
         "        let last = *self.frames().last()?;\n"),
    ),
    bug(
        "CORE-15", "refuses what it gave", _BUDDY,
        ("block_order() == block.order;", "block_order() == block.order && block.order != 3;"),
    ),
    bug(
        "CORE-16", "forgets a freed block", _BUDDY,
        ("        } else {\n            self.state.zone_of(block.first_pfn).insert(&self.slots, block);\n",
         "        } else if order == 1 {\n"
         "            self.state.zone_of(block.first_pfn).managed -= 2;\n"
         "        } else {\n            self.state.zone_of(block.first_pfn).insert(&self.slots, block);\n"),
    ),
    bug(
        "CORE-17", "believes every free of a page", _BUDDY,
        ("if self.strict {\n            self.ref", "if self.strict && order > 0 {\n            self.ref"),
    ),
    bug(
        "CORE-17", "believes every order", _BUDDY,
        ("!stamp::says_free(&self.slots, pfn) && self.slots.slot(pfn).block_order() == block.order",
         "!stamp::says_free(&self.slots, pfn)"),
    ),
    bug(
        "CORE-18", "a freed block is not counted", "parts/buddy/state.rs",
        ("self.allocated.saturating_sub(frames)", "self.allocated.saturating_sub(frames.min(1))"),
    ),
    bug("CORE-18", "a merged block is counted twice", _LISTS, ("        self.free -= block.n_frames();\n",
        "        self.free -= block.n_frames() / 2;\n")),
    bug(
        "CORE-19", "poisoned blocks count as frames", _BUDDY,
        ("quarantined += block.n_frames();", "quarantined += 1;"),
    ),
    bug(
        "CORE-20", "counts what lies in caches", _START,
        ("sum(|zone| zone.allocated)", "sum(|zone| zone.allocated + zone.cached)"),
    ),
    bug(
        "CORE-21", "a lock that does not wait", "src/memory/cpu_lock.rs",
        ("        let guard = self.value.lock();\n",
         "        let guard = loop {\n"
         "            if let Some(guard) = self.value.try_lock() {\n"
         "                break guard;\n"
         "            }\n"
         "            // SAFETY: none, which is the bug.\n"
         "            unsafe { self.value.force_unlock() }\n"
         "        };\n"),
    ),
    bug(
        "CORE-23", "looks at all pages before each one", "parts/buddy/populate.rs",
        ("            let mut end = range.end;\n",
         "            for page in range.clone().step_by(8) {\n"
         "                for before in range.start..page {\n"
         "                    core::hint::black_box(before);\n"
         "                }\n"
         "            }\n"
         "            let mut end = range.end;\n"),
    ),
    bug(
        "CORE-24", "a freed block passes the whole list", _LISTS,
        ("        self.push(slots, merged);\n",
         "        self.pass(slots, merged);\n        self.push(slots, merged);\n"),
        ("    fn unlink<S: Slots>(",
         "    fn pass<S: Slots>(&self, slots: &S, block: Block) {\n"
         "        let mut at = self.head(block);\n"
         "        while at != S::LINK_NONE {\n"
         "            at = slots.slot(at / PAGE_SIZE).next_link();\n"
         "        }\n    }\n\n    fn unlink<S: Slots>("),
    ),
    bug(
        "CORE-32", "free pages that somebody counts", _STAMP,
        ("if unused == StampUnused::Yes {", "if unused == StampUnused::Yes && block.order > 0 {"),
    ),
    bug("CORE-33", "what is given stays FREE", _STAMP, (" & !S::FREE | S::ALLOCATED", " | S::ALLOCATED")),
    bug(
        "CORE-35", "each free is a life", _SLOTS,
        ("        forget_owner = reset_with_free_list_meta();\n    }\n",
         "    }\n\n"
         "    fn forget_owner(&self) {\n"
         "        self.reset_with_free_list_meta();\n"
         "        self.set_generation(self.generation().wrapping_add(1));\n"
         "    }\n"),
    ),
    bug(
        "CORE-36", "links in the page itself", _SLOTS,
        ("        set_previous_link = set_prev(link: u64);\n", ""),
        ("impl Slot for MetaSlot {\n",
         "impl Slot for MetaSlot {\n"
         "    fn set_previous_link(&self, link: u64) {\n"
         "        self.set_prev(link);\n"
         "        if let Some(paddr) = link.checked_add(1).map(|_| link) {\n"
         "            let word = super::phys_to_virt(paddr) as *mut u64;\n"
         "            // SAFETY: nobody has the page, and the kernel reaches it.\n"
         "            unsafe { word.write(link) }\n"
         "        }\n"
         "    }\n\n"),
    ),
    bug(
        "CORE-37", "looks at poison when a block comes back alone", _BUDDY,
        ("while self.strict && self.slots.is_poisoned(block)",
         "while self.strict && order_of(block) > 11 && self.slots.is_poisoned(block)"),
        ("/// The whole state of the allocator", "fn order_of(block: Block) -> u8 {\n    block.order\n}\n\n"
         "/// The whole state of the allocator"),
    ),
    *(CoreMutant(one.clause, one.name, FRAME, one.edits) for one in CORE_MUTANTS if one.file == "frame.rs"),
)  # fmt: skip
"""Files are those of the shim's folder."""


def broken_shim(folder: Path, bug: CoreMutant) -> Path:
    """A copy of the shim with a bug in it."""
    shim = folder / "kernel_shim"
    shutil.copytree(SHIM, shim, ignore=LEFT_OUT)
    file = shim / bug.file
    file.write_text(apply(file.read_text(encoding="utf-8"), bug.edits, name=str(bug)), encoding="utf-8")
    return shim
