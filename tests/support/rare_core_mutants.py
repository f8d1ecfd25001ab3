"""Bugs of a memory core that show on another CPU, at a border of zones, or in one kind of wrong free."""

from __future__ import annotations

from tests.support.core_mutants import CoreMutant
from tests.support.hidden_core_mutants import GIVEN

_FREED = "        if order > 0 || !cache(paddr) {\n"
_PUT_BACK = '        found.expect("the block was given from a segment").put(paddr, order);\n'
_FREE = "    core.free(frame.start_address.as_u64(), order);"

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
)  # fmt: skip
