"""Bugs of a memory core, each with the clause that it breaks first."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parents[1] / "kernel_tree"
MEMORY = TREE / "src" / "memory"


@dataclass(frozen=True)
class CoreMutant:
    """One bug: texts of a file that become others."""

    clause: str
    name: str
    file: str
    edits: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.clause}-{self.name.replace(' ', '_')}"


_WALK = (
    "if let Some(segment) = segment.as_ref() {\n"
    "            let kind = Migratetype::home(paddr) as usize;\n"
    "            let mut at = segment.free_lists[kind][usize::from(order)];\n"
    "            while at != 0 && at != paddr {\n"
    "                at = unlinked(get_meta(PhysAddr::new(at)).next());\n"
    "            }\n"
    "        }"
)

CORE_MUTANTS = (
    CoreMutant(
        "CORE-01", "room for few pieces", "boot_alloc.rs",
        (
            (
                "MAX_PIECES: usize = 1024",
                "MAX_PIECES: usize = 2",
            ),
        ),
    ),
    CoreMutant(
        "CORE-01", "adds without a check", "boot_alloc.rs",
        (
            (
                "region.base.checked_add(region.size)",
                "Some(region.base).map(|base| base.strict_sum(region.size))",
            ),
            (
                "fn is_usable",
                "trait StrictSum { fn strict_sum(self, other: u64) -> u64; }\n"
                "impl StrictSum for u64 {\n"
                "    fn strict_sum(self, other: u64) -> u64 { "
                "self.checked_add(other).expect(\"attempt to add with overflow\") }\n"
                "}\n"
                "\n"
                "fn is_usable",
            ),
        ),
    ),
    CoreMutant(
        "CORE-02", "takes what it cannot reach", "boot_alloc.rs",
        (
            (
                " && is_hhdm_range_mapped_now(start, size)",
                "",
            ),
        ),
    ),
    CoreMutant(
        "CORE-02", "bits outgrow their memory", "buddy.rs",
        (
            (
                "    pages + (0..ORDERS)",
                "    (0..ORDERS)",
            ),
        ),
    ),
    CoreMutant(
        "CORE-02", "takes frame 0", "boot_alloc.rs",
        (
            (
                "        self.exclude((0, PAGE_SIZE));\n",
                "",
            ),
        ),
    ),
    CoreMutant(
        "CORE-03", "forgets protected ranges", "boot_alloc.rs",
        (
            (
                "|(_, size)| *size != 0",
                "|(_, size)| *size == 1",
            ),
        ),
    ),
    CoreMutant(
        "CORE-02", "rounds to the wrong side", "boot_alloc.rs",
        (
            (
                "let start = first.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX);",
                "let start = first / PAGE_SIZE * PAGE_SIZE;",
            ),
        ),
    ),
    CoreMutant(
        "CORE-04", "begins a page too early", "buddy.rs",
        (
            (
                "new_segment(first, end, &mut at)",
                "new_segment(first - PAGE_SIZE * u64::from(zone_type == ZoneType::DMA), end, "
                "&mut at)",
            ),
        ),
    ),
    CoreMutant(
        "CORE-05", "forgets what lies above 32 GiB", "buddy.rs",
        (
            (
                "end.min(zone_end));\n",
                "end.min(zone_end).min(1 << 35));\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-05", "forgets the last page", "buddy.rs",
        (
            (
                "segment.end());\n"
                "    while",
                "segment.end() - PAGE_SIZE);\n"
                "    while",
            ),
        ),
    ),
    CoreMutant(
        "CORE-06", "any place will do", "buddy.rs",
        (
            (
                "paddr % (PAGE_SIZE << order) == 0 && ",
                "",
            ),
        ),
    ),
    CoreMutant(
        "CORE-07", "the next block keeps its link", "buddy.rs",
        (
            (
                "            get_meta(PhysAddr::new(next)).set_prev(prev);\n",
                "",
            ),
        ),
    ),
    CoreMutant(
        "CORE-07", "a cache takes a page twice", "buddy.rs",
        (
            (
                "    cache.len += 1;\n",
                "    cache.len += 1;\n"
                "    let len = cache.len;\n"
                "    if len == 3 {\n"
                "        cache.frames[len] = paddr;\n"
                "        cache.len += 1;\n"
                "    }\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-08", "merges small blocks alone", "buddy.rs",
        (
            (
                "while usize::from(order) < MAX_ORDER {",
                "while usize::from(order) < 5 {",
            ),
        ),
    ),
    CoreMutant(
        "CORE-09", "expects memory", "buddy.rs",
        (
            (
                "found.map(frame_at).ok_or(AllocError::OutOfMemory)",
                "Ok(frame_at(found.expect(\"there is memory\")))",
            ),
        ),
    ),
    CoreMutant(
        "CORE-10", "leaves caches alone", "buddy.rs",
        (
            (
                "            self.drain();\n",
                "",
            ),
        ),
    ),
    CoreMutant(
        "CORE-10", "looks in lists of its own kind alone", "buddy.rs",
        (
            (
                "for kind in kind.searched() {",
                "for kind in [kind] {",
            ),
        ),
    ),
    CoreMutant(
        "CORE-11", "changes its mind", "buddy.rs",
        (
            (
                "found.map(frame_at).ok_or(AllocError::OutOfMemory)",
                # Only who is refused a block of frames, and then asks for the same.
                "static REFUSED: AtomicUsize = AtomicUsize::new(0);\n"
                "        let asked = 1 + usize::from(order) + 16 * (kind as usize) + 64 * zones.len()\n"
                "            + 256 * (zones[0] as usize);\n"
                "        let before = REFUSED.swap(if found.is_some() { 0 } else { asked }, Relaxed);\n"
                "        found.map(frame_at).or_else(|| (order > 0 && before == asked).then(|| "
                "frame_at(self.bitmap_pool[0].0.max(self.bitmap_pool[1].0)))).ok_or(AllocError:"
                ":OutOfMemory)",
            ),
        ),
    ),
    CoreMutant(
        "CORE-12", "another zone", "buddy.rs",
        (
            (
                "self.alloc(order, kind, &[zone])",
                "self.alloc(order, kind, &[zone, ZoneType::Normal, ZoneType::DMA])",
            ),
        ),
    ),
    CoreMutant(
        "CORE-13", "the wrong half", "buddy.rs",
        (
            (
                "            self.push(paddr + (PAGE_SIZE << smaller), smaller);\n"
                "        }\n"
                "        Some(paddr)",
                "            self.push(paddr + (PAGE_SIZE << smaller), smaller);\n"
                "        }\n"
                "        Some(if order == 2 { paddr + PAGE_SIZE } else { paddr })",
            ),
        ),
    ),
    CoreMutant(
        "CORE-14", "a cached page stays cached", "buddy.rs",
        (
            (
                "    cache.len = cache.len.checked_sub(1)?;\n"
                "    let paddr = cache.frames[cache.len];",
                "    let last = cache.len.checked_sub(1)?;\n"
                "    let paddr = cache.frames[last];",
            ),
            (
                "    LOCAL_CACHED_ZONE_FRAMES[zone_of(paddr) as usize].fetch_sub(1, Relaxed);\n"
                "    stamp",
                "    stamp",
            ),
        ),
    ),
    CoreMutant(
        "CORE-15", "refuses what it gave", "buddy.rs",
        (
            (
                "        assert!(was_given,",
                "        assert!(was_given && order != 3,",
            ),
        ),
    ),
    CoreMutant(
        "CORE-16", "loses a freed block", "buddy.rs",
        (
            (
                "        found.expect(\"the block was given from a segment\").put(paddr, order);\n",
                "        if order != 1 {\n"
                "            found.expect(\"the block was given from a segment\").put(paddr, "
                "order);\n"
                "        }\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-17", "believes every free", "buddy.rs",
        (
            (
                "is_some_and(|byte| byte.load(Relaxed) == given::block(order))",
                "is_some_and(|byte| byte.load(Relaxed) < 99)",
            ),
        ),
    ),
    CoreMutant(
        "CORE-17", "believes every order", "buddy.rs",
        (
            (
                "byte.load(Relaxed) == given::block(order)",
                "(1..99).contains(&byte.load(Relaxed))",
            ),
        ),
    ),
    CoreMutant(
        "CORE-18", "a cached page is counted for ever", "buddy.rs",
        (
            (
                "    LOCAL_CACHED_ZONE_FRAMES[zone_of(paddr) as usize].fetch_sub(1, Relaxed);\n"
                "    stamp",
                "    stamp",
            ),
        ),
    ),
    CoreMutant(
        "CORE-18", "a freed block is not counted", "buddy.rs",
        (
            (
                "        zone.allocated -= 1 << order;\n"
                "    }\n"
                "\n"
                "    /// Checks",
                "        zone.allocated -= 1;\n"
                "    }\n"
                "\n"
                "    /// Checks",
            ),
        ),
    ),
    CoreMutant(
        "CORE-19", "poisoned blocks count as frames", "buddy.rs",
        (
            (
                "POISON_QUARANTINE_PAGES.fetch_add(1 << order, Relaxed)",
                "POISON_QUARANTINE_PAGES.fetch_add(1, Relaxed)",
            ),
        ),
    ),
    CoreMutant(
        "CORE-19", "poison comes back", "buddy.rs",
        (
            (
                "        if self.take_back(paddr, order) {\n"
                "            return;\n"
                "        }",
                "        self.take_back(paddr, order);",
            ),
        ),
    ),
    CoreMutant(
        "CORE-21", "a cache without a lock", "buddy.rs",
        (
            (
                "    let mut core = BUDDY_ALLOCATOR.lock();\n"
                "    let core = core.as_mut().ok_or(AllocError::OutOfMemory)?;\n"
                "    if order == 0 {\n"
                "        while let Some(paddr) = cached(kind) {\n",
                "    let mut from_cache = if order == 0 { cached(kind) } else { None };\n"
                "    let mut core = BUDDY_ALLOCATOR.lock();\n"
                "    let core = core.as_mut().ok_or(AllocError::OutOfMemory)?;\n"
                "    if order == 0 {\n"
                "        while let Some(paddr) = from_cache.take() {\n",
            ),
            (
                "    let mut cache = cache_of(kind).lock();\n"
                "    cache.len = cache.len.checked_sub(1)?;\n"
                "    let paddr = cache.frames[cache.len];\n",
                "    let (last, paddr) = {\n"
                "        let cache = cache_of(kind).lock();\n"
                "        let last = cache.len.checked_sub(1)?;\n"
                "        (last, cache.frames[last])\n"
                "    };\n"
                "    cache_of(kind).lock().len = last;\n",
            ),
            ("MAX_CPUS + current_cpu_index()]", "MAX_CPUS + current_cpu_index() / MAX_CPUS]"),
        ),
    ),
    CoreMutant(
        "CORE-22", "is told last that a table need not be zeroed", "frame.rs",
        (
            (
                "Self { purpose: p, ..self }",
                "Self { purpose: p, zeroed: self.zeroed || p.requires_zero(), ..self }",
            ),
            (
                "if self.zeroed || self.purpose.requires_zero() {",
                "if self.zeroed {",
            ),
        ),
    ),
    CoreMutant(
        "CORE-34", "believes that nobody wants it zeroed", "frame.rs",
        (
            (
                "if self.zeroed || self.purpose.requires_zero() {",
                "if self.zeroed {",
            ),
        ),
    ),
    CoreMutant(
        "CORE-34", "zeroes the upper part of a frame", "frame.rs",
        (
            (
                "unsafe { payload.write_bytes(0, PAGE_SIZE as usize) }",
                "unsafe { payload.wrapping_add(2048).write_bytes(0, 2048) }",
            ),
        ),
    ),
    CoreMutant(
        "CORE-23", "holds regions against pairs of others", "boot_alloc.rs",
        (
            (
                "        self.merge();\n",
                "        for one in regions {\n"
                "            for other in regions {\n"
                "                for third in regions {\n"
                "                    core::hint::black_box((one.base, other.base, third.base));\n"
                "                }\n"
                "            }\n"
                "        }\n"
                "        self.merge();\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-23", "looks at all pages before each one", "buddy.rs",
        (
            (
                "        segment.push(paddr, order);\n        paddr += PAGE_SIZE << order;\n    }\n",
                "        segment.push(paddr, order);\n        paddr += PAGE_SIZE << order;\n    }\n"
                "    let pages = segment.page_count / 8;\n"
                "    for page in 0..pages {\n"
                "        for before in 0..page {\n"
                "            core::hint::black_box(before);\n"
                "        }\n"
                "    }\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-24", "a free looks for its block in the whole list", "buddy.rs",
        (
            (
                "        let was_given = byte",
                f"        {_WALK}\n        let was_given = byte",
            ),
        ),
    ),
    CoreMutant(
        "CORE-24", "an allocation takes the last block", "buddy.rs",
        (
            (
                "        let paddr = self.free_lists[kind as usize][usize::from(found)];\n",
                "        let mut paddr = self.free_lists[kind as usize][usize::from(found)];\n"
                "        while unlinked(get_meta(PhysAddr::new(paddr)).next()) != 0 {\n"
                "            paddr = get_meta(PhysAddr::new(paddr)).next();\n"
                "        }\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-24", "a merge looks for the buddy from the head on", "buddy.rs",
        (
            (
                "            self.unlink(buddy, order);\n",
                "            let lists = &self.free_lists[Migratetype::home(buddy) as usize];\n"
                "            let mut at = lists[usize::from(order)];\n"
                "            while at != buddy {\n"
                "                at = get_meta(PhysAddr::new(at)).next();\n"
                "            }\n"
                "            self.unlink(buddy, order);\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-24", "a refusal counts what is free", "buddy.rs",
        (
            (
                "            self.drain();\n",
                "            for zone in &mut self.zones {\n"
                "                let pages = zone.page_count;\n"
                "                for page in 0..pages {\n"
                "                    core::hint::black_box(page);\n"
                "                }\n"
                "            }\n"
                "            self.drain();\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-20", "cached pages count as given", "buddy.rs",
        (
            (
                "(managed, allocated - cached)",
                "{\n"
                "            let _ = cached;\n"
                "            (managed, allocated)\n"
                "        }",
            ),
        ),
    ),
    CoreMutant(
        "CORE-34", "user data that cannot move", "frame.rs",
        (
            (
                "Self::UserData => frame_flags::USER | frame_flags::MOVABLE,",
                "Self::UserData => frame_flags::USER,",
            ),
        ),
    ),
    CoreMutant(
        "CORE-32", "a cached page says that it is given", "buddy.rs",
        (
            (
                "    cache.len += 1;\n"
                "    stamp(paddr, 0, frame_flags::FREE | movable(Migratetype::home(paddr)));\n",
                "    cache.len += 1;\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-32", "free pages are blocks of one page", "buddy.rs",
        (
            (
                "stamp(paddr + page * PAGE_SIZE, order, frame_flags::FREE | movable(kind));",
                "stamp(paddr + page * PAGE_SIZE, 0, frame_flags::FREE | movable(kind));",
            ),
        ),
    ),
    CoreMutant(
        "CORE-33", "marks the head of a block alone", "buddy.rs",
        (
            (
                "                    for page in 0..1 << order {\n"
                "                        stamp(\n",
                "                    for page in 0..1 {\n"
                "                        stamp(\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-33", "clears the slot behind a freed page", "buddy.rs",
        (
            (
                "        if order > 0 || !cache(paddr) {\n",
                "        let below = PhysAddr::new(paddr & !PAGE_SIZE);\n"
                "        if order == 0 && below.as_u64() != paddr && get_meta(below).get_refcount() == 1 {\n"
                "            get_meta(below).set_order(1);\n"
                "        }\n"
                "        if order > 0 || !cache(paddr) {\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-35", "each stamp is a life", "buddy.rs",
        (
            (
                "    slot.set_refcount(frame::REFCOUNT_UNUSED);\n",
                "    slot.set_refcount(frame::REFCOUNT_UNUSED);\n"
                "    slot.set_generation(slot.generation().wrapping_add(1));\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-36", "links in the page itself", "buddy.rs",
        (
            (
                "        *head = paddr;\n",
                "        // SAFETY: nobody has the page, and the kernel reaches it.\n"
                "        unsafe { ptr::write(phys_to_virt(paddr) as *mut u64, *head) };\n"
                "        *head = paddr;\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-37", "looks at poison when a block comes back alone", "buddy.rs",
        (
            (
                "if !frame::block_phys_has_poison_guard(paddr, order) {",
                "if !frame::block_phys_has_poison_guard(paddr, order) || order < u8::MAX {",
            ),
        ),
    ),
    CoreMutant(
        "CORE-37", "gives poisoned pages from a cache", "buddy.rs",
        (
            (
                "        if frame::block_phys_has_poison_guard(paddr, 0) {\n"
                "            segment.quarantine(paddr, 0);\n"
                "            zone.allocated -= 1;\n"
                "            return false;\n"
                "        }\n",
                "",
            ),
        ),
    ),
)  # fmt: skip


_FREE = "    core.free(frame.start_address.as_u64(), order);\n"
HANGS = CoreMutant(
    "CORE-15", "waits for ever", "buddy.rs",
    ((_FREE, f"    while order == 1 {{\n        core::hint::spin_loop();\n    }}\n{_FREE}"),),
)  # fmt: skip
FAULTS = CoreMutant(
    "CORE-15", "jumps to nowhere", "buddy.rs",
    (
        (
            _FREE,
            "    if order == 1 {\n"
            "        // SAFETY: there is no function at this address: that is the bug.\n"
            "        let nowhere: fn() = unsafe { core::mem::transmute(0x6666_0000usize) };\n"
            f"        nowhere();\n    }}\n{_FREE}",
        ),
    ),
)  # fmt: skip
"""Bugs behind which a guest cannot be asked any more."""


def broken_tree(folder: Path, bug: CoreMutant) -> Path:
    """A copy of the tests' kernel tree with a bug in it."""
    tree = folder / "kernel"
    shutil.copytree(TREE, tree)  # links are followed
    file = tree / "src" / "memory" / bug.file
    text = file.read_text(encoding="utf-8")
    for old, new in bug.edits:
        if text.count(old) != 1:
            raise ValueError(f"{bug}: {old!r} occurs {text.count(old)} times in {bug.file}")
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    return tree
