"""Bugs of a memory core that show on another CPU, at a border, inside of a block, behind a refusal."""

from __future__ import annotations

from tests.support.core_mutants import CoreMutant
from tests.support.hidden_core_mutants import GIVEN

_FREED = "        if order > 0 || !cache(paddr) {\n"
_PUT_BACK = '        found.expect("the block was given from a segment").put(paddr, order);\n'
_FREE = "    core.free(frame.start_address.as_u64(), order);"
_POISONED = "let poisoned = frame::block_phys_has_poison_guard(paddr, order);"
_IS_SOUND = "            if !frame::block_phys_has_poison_guard(paddr, order)"
_AT_ENDS = (
    "(paddr, 0)\n"
    "            || frame::block_phys_has_poison_guard(paddr + (PAGE_SIZE << order) - PAGE_SIZE, 0)"
)
_PIECES = "        for &(first, end) in &pieces[..count] {\n            self.add((first, end.min(hole)));\n"
_FOUND = "        let found = zone.segments_mut().iter_mut().find(|segment| segment.contains(paddr, order));"


def _keeping(where: str) -> tuple[tuple[str, str]]:
    """Leave a piece of memory as it is where it should be cut."""
    kept = (
        f"if {where} {{\n                self.add((first, end));\n                continue;\n            }}\n"
    )
    return ((_PIECES, _PIECES.replace("            self", f"            {kept}            self", 1)),)


RARE_MUTANTS = (
    CoreMutant(
        "CORE-16", "a full cache of another CPU forgets a page", "buddy.rs",
        (
            (
                _FREED,
                "        let full = cache_of(Migratetype::home(paddr)).lock().len >= CACHED;\n"
                "        if order == 0 && full && current_cpu_index() != 0 {\n"
                "            self.zones[zone_of(paddr) as usize].allocated -= 1;\n"
                "            return;\n"
                f"        }}\n{_FREED}",
            ),
        ),
    ),
    CoreMutant(
        "CORE-18", "counts a block that ends at a border for the next zone", "buddy.rs",
        (
            (
                f"{_PUT_BACK}        zone.allocated -= 1 << order;",
                f"{_PUT_BACK}        let last = paddr + (PAGE_SIZE << order) * u64::from(order == 4);\n"
                "        self.zones[zone_of(last) as usize].allocated -= 1 << order;",
            ),
        ),
    ),
    CoreMutant(
        "CORE-16", "a list of two hundred blocks loses them", "buddy.rs",
        (
            (
                "        *head = paddr;\n",
                "        let (mut at, mut blocks) = (*head, 0);\n"
                "        while at != 0 && blocks < 200 {\n"
                "            at = unlinked(get_meta(PhysAddr::new(at)).next());\n"
                "            blocks += 1;\n"
                "        }\n"
                "        if blocks == 200 {\n"
                "            slot.set_next(frame::FRAME_META_LINK_NONE);\n"
                "        }\n"
                "        *head = paddr;\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-02", "the seventh piece of boot memory begins inside of a word", "boot_alloc.rs",
        (
            ("    len: usize,\n}", "    len: usize,\n    given: usize,\n}"),
            ("pieces: [(0, 0); MAX_PIECES], len: 0 }", "pieces: [(0, 0); MAX_PIECES], len: 0, given: 0 }"),
            (
                "                return Some(PhysAddr::new(start));",
                "                self.given += 1;\n"
                "                return Some(PhysAddr::new(start + if self.given == 7 { 4 } else { 0 }));",
            ),
        ),
    ),
    CoreMutant(
        "CORE-17", "takes the first page of a large block back", "buddy.rs",
        (
            (
                GIVEN,
                f"{GIVEN} || byte.is_some_and(|byte| order == 0 && (5..99).contains(&byte.load(Relaxed)))",
            ),
        ),
    ),
    CoreMutant(
        "CORE-17", "takes four times a block back", "buddy.rs",
        (
            (
                GIVEN,
                f"{GIVEN} || order > 1\n            "
                "&& byte.is_some_and(|byte| byte.load(Relaxed) == given::block(order - 2))",
            ),
        ),
    ),
    CoreMutant(
        "CORE-17", "takes the upper half of a block back", "buddy.rs",
        (
            (
                "        let byte = segment.as_ref()",
                "        let whole = paddr & !((PAGE_SIZE << (order + 1).min(12)) - 1);\n"
                "        let is_half = segment.as_ref().is_some_and(|one| {\n"
                "            let fits = order > 0 && whole != paddr && one.contains(whole, order + 1);\n"
                "            fits && one.given()[one.index(whole)].load(Relaxed) == given::block(order + 1)\n"
                "        });\n"
                "        let byte = segment.as_ref()",
            ),
            (GIVEN, f"{GIVEN} || is_half"),
        ),
    ),
    CoreMutant(
        "CORE-17", "looks at six bits of a freed order", "buddy.rs",
        ((_FREE, _FREE.replace("order)", "order & 63)")),),
    ),
    CoreMutant(
        "CORE-17", "looks at seven bits of a freed order", "buddy.rs",
        ((_FREE, _FREE.replace("order)", "order & 127)")),),
    ),
    CoreMutant(
        "CORE-17", "looks at 38 bits of a freed address", "buddy.rs",
        ((_FREE, _FREE.replace("as_u64()", "as_u64() & ((1 << 38) - 1)")),),
    ),
    CoreMutant(
        "CORE-21", "looks at the buddy before it waits for the lock", "buddy.rs",
        (
            (
                _FREE,
                "    if alone && !core.take_back(frame.start_address.as_u64(), order) {\n"
                "        core.put_alone(frame.start_address.as_u64(), order);\n"
                "    } else if !alone {\n"
                f"    {_FREE}\n"
                "    }",
            ),
            (
                "pub fn free(_token: &IrqDisabledToken, frame: PhysFrame, order: u8) {\n",
                "pub fn free(_token: &IrqDisabledToken, frame: PhysFrame, order: u8) {\n"
                "    let buddy = frame.start_address.as_u64() ^ (PAGE_SIZE << order.min(11));\n"
                "    let alone = order == 1 && {\n"
                "        let mut core = BUDDY_ALLOCATOR.lock();\n"
                "        let core = core.as_mut().expect(\"a block was given\");\n"
                "        let segments = core.zones[zone_of(buddy) as usize].segments_mut();\n"
                "        !segments.iter().any(|one| one.contains(buddy, 1) && one.is_free(buddy, 1))\n"
                "    };\n",
            ),
            (
                "    /// Checks that the block was given,",
                "    fn put_alone(&mut self, paddr: u64, order: u8) {\n"
                "        let zone = &mut self.zones[zone_of(paddr) as usize];\n"
                "        let found = zone.segments_mut().iter_mut().find(|one| one.contains(paddr, order));\n"
                "        found.expect(\"the block was given from a segment\").push(paddr, order);\n"
                "        zone.allocated -= 1 << order;\n"
                "    }\n\n"
                "    /// Checks that the block was given,",
            ),
        ),
    ),
    CoreMutant(
        "CORE-17", "takes the upper half of a larger free block back", "buddy.rs",
        (
            (
                GIVEN,
                f"{GIVEN}\n            || segment.as_ref().is_some_and(|one| {{\n"
                "                (order + 1..12).any(|larger| {\n"
                "                    let whole = paddr & !((PAGE_SIZE << larger) - 1);\n"
                "                    let free = one.contains(whole, larger) && one.is_free(whole, larger);\n"
                "                    free && whole != paddr\n"
                "                })\n"
                "            })",
            ),
        ),
    ),
    *(
        CoreMutant(
            "CORE-17", f"believes every free {where}", "buddy.rs",
            ((GIVEN, f"{GIVEN} || segment.is_some() && {condition}"),),
        )
        for where, condition in (
            ("above 4 GiB", "paddr >> 32 != 0"),
            ("of another CPU", "order > 0 && current_cpu_index() == 1"),
        )
    ),
    CoreMutant(
        "CORE-19", "looks for poison at both ends of a block", "buddy.rs",
        ((_POISONED, _POISONED.replace("(paddr, order)", _AT_ENDS)),),
    ),
    CoreMutant(
        "CORE-37", "looks for poison at both ends of a free block", "buddy.rs",
        ((_IS_SOUND, _IS_SOUND.replace("(paddr, order)", _AT_ENDS).replace("!", "!(") + ")"),),
    ),
    CoreMutant(
        "CORE-19", "a block in quarantine still looks free", "buddy.rs",
        (
            (
                "        POISON_QUARANTINE_PAGES.fetch_add(1 << order, Relaxed);\n",
                "        POISON_QUARANTINE_PAGES.fetch_add(1 << order, Relaxed);\n"
                "        let (byte, bit) = self.bit(paddr, order);\n"
                "        byte.fetch_or(bit, Relaxed);\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-01", "does not start on eight islands of three hundred pages", "buddy.rs",
        (
            (
                "pub fn init_buddy_allocator(_regions: &[MemoryRegion]) {\n",
                "pub fn init_buddy_allocator(regions: &[MemoryRegion]) {\n"
                "    assert!(regions.iter().filter(|one| one.size == 300 * PAGE_SIZE).count() != 8);\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-19", "counts nothing that is poisoned", "buddy.rs",
        (("        POISON_QUARANTINE_PAGES.fetch_add(1 << order, Relaxed);\n", ""),),
    ),
    CoreMutant(
        "CORE-09", "a refusal keeps the lock", "buddy.rs",
        (
            (
                "    core.alloc(order, kind, &zones)\n}",
                "    let given = core.alloc(order, kind, &zones);\n"
                "    if given.is_err() {\n        core::mem::forget(guard);\n    }\n    given\n}",
            ),
            (
                "    let mut core = BUDDY_ALLOCATOR.lock();\n"
                "    let core = core.as_mut().ok_or(AllocError::OutOfMemory)?;\n    if order == 0",
                "    let mut guard = BUDDY_ALLOCATOR.lock();\n"
                "    let core = guard.as_mut().ok_or(AllocError::OutOfMemory)?;\n    if order == 0",
            ),
        ),
    ),
    CoreMutant(
        "CORE-15", "a poisoned block keeps the lock", "buddy.rs",
        (
            (
                "    let mut core = BUDDY_ALLOCATOR.lock();\n"
                f"    let core = core.as_mut().expect(\"a block was given\");\n{_FREE}",
                "    let mut guard = BUDDY_ALLOCATOR.lock();\n"
                "    let core = guard.as_mut().expect(\"a block was given\");\n"
                "    let quarantined = POISON_QUARANTINE_PAGES.load(Relaxed);\n"
                f"{_FREE}\n"
                "    if quarantined != POISON_QUARANTINE_PAGES.load(Relaxed) {\n"
                "        core::mem::forget(guard);\n    }",
            ),
        ),
    ),
    CoreMutant(
        "CORE-03", "keeps a region that protected memory goes beyond at both ends", "boot_alloc.rs",
        _keeping("hole < first && end < hole_end"),
    ),
    CoreMutant(
        "CORE-03", "keeps a region that ends with protected memory", "boot_alloc.rs",
        _keeping("first < hole && end == hole_end"),
    ),
    CoreMutant(
        "CORE-02", "keeps a region whose begin is reserved", "boot_alloc.rs",
        _keeping("hole < first && first < hole_end && hole_end < end"),
    ),
    CoreMutant(
        "CORE-10", "looks for memory in thirty-two segments", "buddy.rs",
        ((".iter_mut().find_map(|segment| {", ".iter_mut().take(32).find_map(|segment| {"),),
    ),
    CoreMutant(
        "CORE-09", "does not find the last of many segments", "buddy.rs",
        (
            (
                f"{_FOUND}\n{_PUT_BACK}",
                "        let most = zone.segment_count - usize::from(zone.segment_count > 50);\n"
                "        let mut segments = zone.segments_mut()[..most].iter_mut();\n"
                f"        let found = segments.find(|segment| segment.contains(paddr, order));\n{_PUT_BACK}",
            ),
        ),
    ),
    CoreMutant(
        "CORE-36", "notes itself in what it takes back of the last zone", "buddy.rs",
        (
            (
                _PUT_BACK,
                f"{_PUT_BACK}        if zone_of(paddr) == ZoneType::HighMem {{\n"
                "            // SAFETY: the page is there, and nobody has it any more.\n"
                "            unsafe { ptr::write((phys_to_virt(paddr) + 8) as *mut u64, paddr) };\n"
                "        }\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-07", "above 4 GiB only the second block of a list gets another link", "buddy.rs",
        (
            (
                "        if next != frame::FRAME_META_LINK_NONE {\n",
                "        let is_head = prev == frame::FRAME_META_LINK_NONE;\n"
                "        if next != frame::FRAME_META_LINK_NONE && (paddr >> 32 == 0 || is_head) {\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-17", "takes an order modulo the number of orders", "buddy.rs",
        ((_FREE, _FREE.replace("order)", "order % 12)")),),
    ),
    CoreMutant(
        "CORE-26", "looks at 2 MiB of what is claimed", "ownership.rs",
        (
            (
                "reaching(blocks, base, base + handle.size_bytes()).is_some()",
                "reaching(blocks, base, base + handle.size_bytes().min(2 << 20)).is_some()",
            ),
        ),
    ),
    CoreMutant(
        "CORE-27", "has room for four capabilities", "ownership.rs",
        (
            (
                "        self.caps.push(cap);\n",
                "        if self.caps.len() < 4 {\n            self.caps.push(cap);\n        }\n",
            ),
        ),
    ),
    CoreMutant(
        "CORE-17", "the largest block can be freed twice", "buddy.rs",
        (
            (
                "            Some(segment) => segment.given()[",
                "            Some(_) if usize::from(order) == MAX_ORDER => {}\n"
                "            Some(segment) => segment.given()[",
            ),
        ),
    ),
    CoreMutant(
        "CORE-05", "an empty reserved region costs a page", "boot_alloc.rs",
        (("forbids(region.kind) && region.size != 0) {", "forbids(region.kind)) {"),),
    ),
    CoreMutant(
        "CORE-05", "an empty protected range costs a page", "boot_alloc.rs",
        (("flatten().filter(|(_, size)| *size != 0) {", "flatten() {"),),
    ),
    CoreMutant(
        "CORE-07", "protected memory up to the last address ends at 0", "boot_alloc.rs",
        (("(base, base.saturating_add(size))", "(base, base.wrapping_add(size))"),),
    ),
)  # fmt: skip
