"""Bugs of a memory core that show in few places: behind a first frame, on another CPU, in one counter."""

from __future__ import annotations

from tests.support.core_mutants import CoreMutant

GIVEN = "byte.is_some_and(|byte| byte.load(Relaxed) == given::block(order))"
_ALLOC = "        let found = self.take(order, kind, zones).or_else(|| {"
_PUT = '        found.expect("the block was given from a segment").put(paddr, order);\n'
_DRAIN = "        for cache in &LOCAL_FRAME_CACHES {\n            let mut cache"
_CACHED = "    cache.frames[at] = paddr;\n    cache.len += 1;\n"
_OWNED_HERE = "get_meta(PhysAddr::new(paddr)).meta_aux_store(current_cpu_index() as u32);\n"
_TAKEN = "    cache.len = cache.len.checked_sub(1)?;\n    let paddr = cache.frames[cache.len];\n"

HIDDEN_MUTANTS = (
    CoreMutant(
        "CORE-02", "segments begin inside of a word", "buddy.rs",
        (
            ("take(segments * size_of::<ZoneSegment>(),", "take(segments * size_of::<ZoneSegment>() + 4,"),
            ("zone.segments = table.cast();", "zone.segments = table.wrapping_add(4).cast();"),
        ),
    ),
    CoreMutant(
        "CORE-02", "bits of two orders in one byte", "buddy.rs",
        (
            (
                "data: claim(num_bits.div_ceil(8)), num_bits",
                "data: claim(num_bits / 8), num_bits",
            ),
        ),
    ),
    CoreMutant(
        "CORE-02", "clears more than it takes", "buddy.rs",
        (
            (
                "            unsafe { at.write_bytes(0, size) };\n",
                "            unsafe { at.write_bytes(0, size.next_multiple_of(1 << 18)) };\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-02", "takes a page behind what it can reach", "boot_alloc.rs",
        (("is_hhdm_range_mapped_now(start, size)", "is_hhdm_range_mapped_now(start, size - PAGE_SIZE)"),),
    ),
    CoreMutant(
        "CORE-03", "looks at sixty-four regions for what is reserved", "boot_alloc.rs",
        (
            (
                "regions.iter().filter(|region| forbids(region.kind)",
                "regions.iter().take(64).filter(|region| forbids(region.kind)",
            ),
        ),
    ),
    CoreMutant(
        "CORE-03", "heeds eight protected ranges", "boot_alloc.rs",
        (("protected.iter().flatten()", "protected.iter().take(8).flatten()"),),
    ),
    CoreMutant(
        "CORE-04", "the boot allocator goes on", "buddy.rs",
        (("        boot_alloc::seal();\n", ""),),
    ),
    CoreMutant(
        "CORE-07", "what cannot merge goes to the first segment", "buddy.rs",
        (
            (
                _PUT,
                "        let found = found.expect(\"the block was given from a segment\");\n"
                "        let (buddy, first) = (paddr ^ (PAGE_SIZE << order), found.base);\n"
                "        let merges = found.contains(buddy, order) && found.is_free(buddy, order);\n"
                "        if order > 0 || merges || first == zone.segments_mut()[0].base {\n"
                "            zone.segments_mut().iter_mut().find(|one| one.base == first).unwrap()"
                ".put(paddr, order);\n"
                "        } else {\n"
                "            let kind = Migratetype::home(paddr);\n"
                "            stamp(paddr, 0, frame_flags::FREE | movable(kind));\n"
                "            let head = &mut zone.segments_mut()[0].free_lists[kind as usize][0];\n"
                "            get_meta(PhysAddr::new(paddr)).set_next(link(*head));\n"
                "            if *head != 0 {\n"
                "                get_meta(PhysAddr::new(*head)).set_prev(paddr);\n"
                "            }\n"
                "            *head = paddr;\n"
                "        }\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-08", "merges no large blocks above 4 GiB", "buddy.rs",
        (
            (
                "            if !self.contains(buddy, order) || !self.is_free(buddy, order) {\n",
                "            let high = paddr >> 32 != 0 && order == 10;\n"
                "            if high || !self.contains(buddy, order) || !self.is_free(buddy, order) {\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-10", "empties its own caches alone", "buddy.rs",
        (
            (
                _DRAIN,
                "        for kind in 0..KINDS {\n"
                "            let cache = &LOCAL_FRAME_CACHES[kind * MAX_CPUS + current_cpu_index()];\n"
                "            let mut cache",
            ),
        ),
    ),
    CoreMutant(
        "CORE-12", "looks at six bits of an order", "buddy.rs",
        (("        if usize::from(order) > MAX_ORDER {", "        let order = order & 63;\n"
          "        if usize::from(order) > MAX_ORDER {"),),
    ),
    CoreMutant(
        "CORE-12", "the first zone ends at 32 MiB", "zone.rs",
        (("const DMA_END: u64 = 16 << 20;", "const DMA_END: u64 = 32 << 20;"),),
    ),
    CoreMutant(
        "CORE-14", "a free notes itself in the buddy, whoever has that", "buddy.rs",
        (
            (
                "            if !self.contains(buddy, order) || !self.is_free(buddy, order) {\n",
                "            if self.contains(buddy, order) && !self.is_free(buddy, order) {\n"
                "                // SAFETY: the page is there; that somebody may have it is the bug.\n"
                "                unsafe { ptr::write((phys_to_virt(buddy) + 8) as *mut u64, paddr) };\n"
                "            }\n"
                "            if !self.contains(buddy, order) || !self.is_free(buddy, order) {\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-15", "the last zone begins a page too late", "buddy.rs",
        (("if paddr < ZoneType::HighMem.span().0 {", "if paddr <= ZoneType::HighMem.span().0 {"),),
    ),
    CoreMutant(
        "CORE-15", "looks at 32 bits of an address for its zone", "buddy.rs",
        (
            (
                "    } else if paddr < ZoneType::HighMem.span().0 {",
                "    } else if u64::from(paddr as u32) < ZoneType::HighMem.span().0 {",
            ),
        ),
    ),
    CoreMutant(
        "CORE-16", "loses the buddy of what goes to quarantine", "buddy.rs",
        (
            (
                "                segment.quarantine(paddr, order);\n"
                "                zone.allocated -= 1 << order;\n",
                "                segment.quarantine(paddr, order);\n"
                "                let buddy = paddr ^ (PAGE_SIZE << order);\n"
                "                if segment.contains(buddy, order) && segment.is_free(buddy, order) {\n"
                "                    segment.unlink(buddy, order);\n"
                "                }\n"
                "                zone.allocated -= 1 << order;\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-17", "takes the first part of a block back", "buddy.rs",
        ((GIVEN, "byte.is_some_and(|byte| (given::block(order)..99).contains(&byte.load(Relaxed)))"),),
    ),
    CoreMutant(
        "CORE-17", "takes back what is in quarantine", "buddy.rs",
        ((GIVEN, f"{GIVEN} || byte.is_some_and(|byte| byte.load(Relaxed) == given::QUARANTINE)"),),
    ),
    CoreMutant(
        "CORE-18", "one count of all caches forgets what is taken", "buddy.rs",
        (
            (
                "impl ZoneSegment {\n    fn index",
                "static LOCAL_CACHED_FRAMES: AtomicUsize = AtomicUsize::new(0);\n\n"
                "impl ZoneSegment {\n    fn index",
            ),
            (_CACHED, f"{_CACHED}    LOCAL_CACHED_FRAMES.fetch_add(1, Relaxed);\n"),
            (
                "                LOCAL_CACHED_ZONE_FRAMES[zone as usize].fetch_sub(1, Relaxed);\n",
                "                LOCAL_CACHED_ZONE_FRAMES[zone as usize].fetch_sub(1, Relaxed);\n"
                "                LOCAL_CACHED_FRAMES.fetch_sub(1, Relaxed);\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-18", "counts what it caches for the other kind", "buddy.rs",
        (
            (
                "impl ZoneSegment {\n    fn index",
                "static LOCAL_CACHED_ZONE_MIGRATETYPE_FRAMES: [AtomicUsize; KINDS * ZoneType::COUNT] =\n"
                "    [const { AtomicUsize::new(0) }; KINDS * ZoneType::COUNT];\n\n"
                "fn of_kind(paddr: u64) -> &'static AtomicUsize {\n"
                "    let kind = 1 - Migratetype::home(paddr) as usize;\n"
                "    &LOCAL_CACHED_ZONE_MIGRATETYPE_FRAMES[kind * 3 + zone_of(paddr) as usize]\n"
                "}\n\n"
                "impl ZoneSegment {\n    fn index",
            ),
            (_CACHED, f"{_CACHED}    of_kind(paddr).fetch_add(1, Relaxed);\n"),
            (
                "                LOCAL_CACHED_ZONE_FRAMES[zone as usize].fetch_sub(1, Relaxed);\n",
                "                LOCAL_CACHED_ZONE_FRAMES[zone as usize].fetch_sub(1, Relaxed);\n"
                "                of_kind(paddr).fetch_sub(1, Relaxed);\n",
            ),
            (_TAKEN, f"{_TAKEN}    of_kind(paddr).fetch_sub(1, Relaxed);\n"),
        ),
    ),
    CoreMutant(
        "CORE-19", "looks for poison in the first page of a block", "buddy.rs",
        (
            (
                "let poisoned = frame::block_phys_has_poison_guard(paddr, order);",
                "let poisoned = frame::block_phys_has_poison_guard(paddr, 0);",
            ),
        ),
    ),
    CoreMutant(
        "CORE-19", "looks for poison in one half of blocks of 16 pages", "buddy.rs",
        (
            (
                "let poisoned = frame::block_phys_has_poison_guard(paddr, order);",
                "let half = order - u8::from(order == 4);\n"
                "        let poisoned = frame::block_phys_has_poison_guard(paddr, half);",
            ),
        ),
    ),
    CoreMutant(
        "CORE-21", "frees on the CPU that allocated alone", "buddy.rs",
        (
            (
                "        let was_given = byte",
                "        let cpu = get_meta(PhysAddr::new(paddr)).meta_aux_load() as usize;\n"
                "        assert!(cpu == current_cpu_index(), \"a free of what CPU {cpu} has\");\n"
                "        let was_given = byte",
            ),
            (
                "        true\n    }\n}\n",
                f"        {_OWNED_HERE}        true\n    }}\n}}\n",
            ),
            (
                "                    zone.allocated += 1 << order;\n",
                f"                    zone.allocated += 1 << order;\n                    {_OWNED_HERE}",
            ),
        ),
    ),
    CoreMutant(
        "CORE-21", "totals know the caches of one CPU", "buddy.rs",
        (
            (
                "let cached: usize = LOCAL_CACHED_ZONE_FRAMES.iter().map(|count| count.load(Relaxed)).sum();",
                "let own = LOCAL_FRAME_CACHES.iter().step_by(MAX_CPUS);\n"
                "        let cached: usize = own.map(|cache| cache.lock().len).sum();",
            ),
        ),
    ),
    CoreMutant(
        "CORE-14", "a bit of order 10 stays when its block is merged", "buddy.rs",
        (
            (
                "            self.unlink(buddy, order);\n            paddr = paddr.min(buddy);",
                "            self.unlink(buddy, order);\n"
                "            if order == 10 {\n"
                "                let (byte, bit) = self.bit(buddy, order);\n"
                "                byte.fetch_or(bit, Relaxed);\n"
                "            }\n"
                "            paddr = paddr.min(buddy);",
            ),
        ),
    ),
    CoreMutant(
        "CORE-14", "leaves what it takes from the cache of another CPU", "buddy.rs",
        (
            (
                "fn link(head",
                "fn of_others(kind: Migratetype) -> Option<u64> {\n"
                "    let caches = &LOCAL_FRAME_CACHES[kind as usize * MAX_CPUS..][..MAX_CPUS];\n"
                "    let mut others = caches.iter().enumerate();\n"
                "    let paddr = others.find_map(|(_, cache)| {\n"
                "        let cache = cache.lock();\n"
                "        Some(cache.frames[cache.len.checked_sub(1)?])\n"
                "    })?;\n"
                "    stamp(paddr, 0, frame_flags::ALLOCATED | movable(Migratetype::home(paddr)));\n"
                "    Some(paddr)\n"
                "}\n\n"
                "fn link(head",
            ),
            (
                _ALLOC,
                "        let found = self.take(order, kind, zones);\n"
                "        let found = found.or_else(|| {\n"
                "            let may = order == 0 && zones.len() > 1;\n"
                "            let paddr = if may { of_others(kind)? } else { return None };\n"
                "            self.give_cached(paddr).then_some(paddr)\n"
                "        });\n"
                "        let found = found.or_else(|| {",
            ),
        ),
    ),
    CoreMutant(
        "CORE-09", "has no large block for another CPU", "buddy.rs",
        (
            (
                _ALLOC,
                "        assert!(order < 5 || current_cpu_index() == 0, \"order {order}\");\n" + _ALLOC,
            ),
        ),
    ),
    CoreMutant(
        "CORE-33", "marks the page beside a freed one, which nobody counts", "buddy.rs",
        (
            (
                "        if order > 0 || !cache(paddr) {\n",
                "        let (beside, zone) = (paddr ^ PAGE_SIZE, zone_of(paddr) as usize);\n"
                "        let segments = self.zones[zone].segments_mut();\n"
                "        if order == 0 && segments.iter().any(|one| one.contains(beside, 0)) {\n"
                "            let slot = get_meta(PhysAddr::new(beside));\n"
                "            let held = slot.get_flags() & frame_flags::FREE == 0;\n"
                "            if held && slot.get_refcount() == frame::REFCOUNT_UNUSED {\n"
                "                slot.set_order(1);\n"
                "            }\n"
                "        }\n"
                "        if order > 0 || !cache(paddr) {\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-37", "looks for poison in the first four pages of a block", "buddy.rs",
        (
            (
                "            if !frame::block_phys_has_poison_guard(paddr, order) {",
                "            if !frame::block_phys_has_poison_guard(paddr, order.min(2)) {",
            ),
        ),
    ),
    CoreMutant(
        "CORE-36", "a cached page holds its number", "buddy.rs",
        (
            (
                _CACHED,
                f"{_CACHED}"
                "    // SAFETY: nobody has the page any more, and the kernel reaches it.\n"
                "    unsafe { ptr::write(phys_to_virt(paddr) as *mut u64, at as u64) };\n",
            ),
        ),
    ),
)  # fmt: skip
