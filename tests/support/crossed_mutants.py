"""Bugs that take two things at once: what is asked for, what is offered, where it lies, how it is walked."""

from __future__ import annotations

from tests.support.frame_mutants import mutant
from tests.support.mutants import Edit

ZEROES = "if self.zeroed || self.purpose.requires_zero() {"
LOOK = "        let found = slot.get_refcount();\n        if found != REFCOUNT_UNUSED {\n"
POISONED = "        if slot.is_guard_poisoned() {\n            // The buddy"
SECOND_LOOK = "        if found & meta_guard::POISONED != 0 {\n            return false;\n"
FIRST_CPU = "core::arch::x86_64::__cpuid(1).ebx >> 24 == 0"
IS_HIGH = "frame.start_address.as_u64() >> 32 != 0"
SCAN = "        .any(|paddr| get_meta(paddr).is_guard_poisoned())\n"
BEGINS = "paddr.as_u64() == frame_phys"
IS_NOT_FREE = "get_meta(paddr).get_flags() & frame_flags::FREE == 0"
GENERATION = "    expected == get_meta(phys).generation()\n"


def _epoch_heals(when: str) -> tuple[Edit, ...]:
    """A poisoned frame gets a new life after all, where `when` holds in `make_live`."""
    return (
        (POISONED, POISONED.replace("() {", f"() && !({when}) {{", 1)),
        (SECOND_LOOK, SECOND_LOOK.replace("!= 0 {", "!= 0 && !heals {")),
        ("fn begin_epoch_unless_poisoned(&self)", "fn begin_epoch_unless_poisoned(&self, heals: bool)"),
        ("slot.begin_epoch_unless_poisoned()", f"slot.begin_epoch_unless_poisoned({when})"),
    )


RECIPES = [
    mutant(
        "a hint of an earlier life spares the zeroing",
        "ALLOC-04",
        (
            ZEROES,
            "if slot.meta_aux_load() & 0x1_0000 == 0 && (self.zeroed || self.purpose.requires_zero()) {",
        ),
        where="recipe",
    ),
    mutant(
        "two flags rule each other out",
        "ALLOC-02",
        (
            "                Self::Custom(flags) => flags,\n",
            "                Self::Custom(flags) if flags & 0xc05 == 0xc00 => flags & !frame_flags::USER,\n"
            "                Self::Custom(flags) => flags,\n",
        ),
        where="recipe",
    ),
    mutant(
        "page tables are zeroed before anybody looks",
        "ALLOC-15",
        (
            LOOK,
            "        if self.purpose.requires_zero() {\n            zero_payload(frame)\n        }\n" + LOOK,
        ),
        where="recipe",
    ),
    mutant(
        "who asks for stale memory is not refused",
        "ALLOC-10",
        (LOOK, LOOK.replace("UNUSED {", "UNUSED && (self.zeroed || self.purpose.requires_zero()) {")),
        (
            "slot.cas_refcount(REFCOUNT_UNUSED, REFCOUNT_NOBODY)",
            "slot.cas_refcount(if self.zeroed { REFCOUNT_UNUSED } else { found }, REFCOUNT_NOBODY)",
        ),
        where="recipe",
    ),
    mutant(
        "a page table is made of poison",
        "GUARD-08",
        *_epoch_heals("self.purpose == FramePurpose::PageTable"),
        where="recipe",
    ),
    mutant(
        "a user's frame keeps its vtable",
        "GUARD-05",
        (
            "unless_poisoned(&self) -> bool {\n        self.set_vtable_bits(0);\n",
            "unless_poisoned(&self) -> bool {\n        if self.get_flags() & frame_flags::USER == 0 {\n"
            "            self.set_vtable_bits(0)\n        }\n",
        ),
        where="recipe",
    ),
    mutant(
        "who once asked for stale memory gets it",
        "ALLOC-04",
        ("        Self { zeroed, ..self }\n", "        Self { zeroed: self.zeroed && zeroed, ..self }\n"),
        where="recipe",
    ),
]

OTHERS = [
    mutant(
        "a scan begins where its block would",
        "GUARD-06",
        (
            "PhysAddr::new(frame_phys + index * PAGE_SIZE)",
            "PhysAddr::new((frame_phys & !((PAGE_SIZE << order) - 1)) + index * PAGE_SIZE)",
        ),
    ),
    mutant(
        "a range jumps over its last frame",
        "FRAME-02",
        (
            "    type Item = PhysFrame;\n",
            "    type Item = PhysFrame;\n\n    fn nth(&mut self, n: usize) -> Option<PhysFrame> {\n"
            "        let start_address = self.start.start_address.as_u64() + n as u64 * PAGE_SIZE;\n"
            "        self.start.start_address = PhysAddr::new(start_address);\n"
            "        let last = self.start >= self.end;\n        self.next().filter(|_| !last)\n    }\n",
        ),
    ),
    mutant(
        "the operators compare half of an address",
        "FRAME-04",
        (
            "#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]\npub struct PhysFrame {",
            "impl PartialOrd for PhysFrame {\n"
            "    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {\n"
            "        let low = |frame: &Self| frame.start_address.as_u64() as u32;\n"
            "        low(self).partial_cmp(&low(other))\n    }\n}\n"
            "#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq)]\npub struct PhysFrame {",
        ),
        ("        if frame > self.end {\n", "        if frame.start_address > self.end.start_address {\n"),
        functions=frozenset({"PhysFrame", "FrameRangeInclusive::next"}),
    ),
    mutant(
        "alloc_frame asks twice",
        "FRAME-06",
        (
            "Self::alloc(self, 0, token)",
            "Self::alloc(self, 0, token).or_else(|_| Self::alloc(self, 0, token))",
        ),
    ),
    mutant(
        "generation 0 matches all",
        "GEN-02",
        (GENERATION, "    expected == 0 || expected == get_meta(phys).generation()\n"),
    ),
    mutant(
        "the count of a frame that is no head stays",
        "REF-03",
        (
            "        self.refcount.store(count, Release)\n",
            "        if self.get_order() == 12 {\n            return;\n        }\n"
            "        self.refcount.store(count, Release)\n",
        ),
        where="slots_in_use",
    ),
    mutant(
        "an allocation that passes over a thousand frames, then says that memory is out",
        "GUARD-08",
        (
            "        for _ in 0..METADATA_FRAME_COUNT.load(Acquire) {\n",
            "        for _ in 0..METADATA_FRAME_COUNT.load(Acquire).min(1024) {\n",
        ),
        where="last_healthy",
    ),
]

IN_USE = [
    mutant(
        "flags poison a block, too",
        "GUARD-06",
        (
            "        .any(|paddr| get_meta(paddr).is_guard_poisoned())\n",
            "        .any(|paddr| {\n            let slot = get_meta(paddr);\n"
            "            slot.is_guard_poisoned() || slot.get_flags() & frame_flags::POISONED != 0\n"
            "        })\n",
        ),
        where="slots_in_use",
    ),
    mutant(
        "a hook's caller forgets whose frame it is",
        "LAYOUT-07",
        (
            "    if let Some(hook) = get_meta(phys).vtable_ref().on_unmap {\n",
            "    get_meta(phys).meta_aux_store(0);\n"
            "    if let Some(hook) = get_meta(phys).vtable_ref().on_unmap {\n",
        ),
        where="slots_in_use or test_functions_of_an_address",
    ),
]

SCATTERED = mutant(
    "some frames, none of them at a border, are not zeroed",
    "ALLOC-04",
    (
        ZEROES,
        "let pfn = frame.start_address.as_u64() / PAGE_SIZE;\n"
        "        if pfn & 0x3ff != 0x155 && (self.zeroed || self.purpose.requires_zero()) {",
    ),
    where="every_frame",
)

HIGH = [
    mutant(
        "high memory has a flag of its own",
        "ALLOC-02",
        (
            "slot.set_flags(self.purpose.flags());",
            f"slot.set_flags(self.purpose.flags() | u32::from({IS_HIGH}) << 3);",
        ),
        machine="q35-5g",
    ),
    mutant(
        "high page tables are not zeroed",
        "ALLOC-04",
        (ZEROES, f"if self.zeroed && !({IS_HIGH} && self.purpose.requires_zero()) {{"),
        machine="q35-5g",
    ),
    mutant(
        "high memory is zeroed before anybody looks",
        "ALLOC-15",
        (
            LOOK,
            f"        if self.zeroed && {IS_HIGH} {{\n            zero_payload(frame)\n        }}\n" + LOOK,
        ),
        machine="q35-5g",
    ),
    mutant(
        "high memory is never poisoned",
        "GUARD-06",
        (
            "METADATA_BASE_VIRT.load(Acquire) == 0 {\n        return false;",
            "METADATA_BASE_VIRT.load(Acquire) == 0 || frame_phys >> 32 != 0 {\n        return false;",
        ),
        machine="q35-5g",
    ),
    mutant(
        "high memory never ages",
        "GEN-02",
        (GENERATION, "    expected == get_meta(phys).generation() || phys.as_u64() >> 32 != 0\n"),
        machine="q35-5g",
    ),
]

ELSEWHERE = [
    mutant(
        "the second CPU keeps the vtable of an earlier life",
        "GUARD-05",
        (
            "unless_poisoned(&self) -> bool {\n        self.set_vtable_bits(0);\n",
            "unless_poisoned(&self) -> bool {\n"
            f"        if {FIRST_CPU} {{\n            self.set_vtable_bits(0)\n        }}\n",
        ),
        where="another_cpu",
    ),
    mutant(
        "the second CPU shares nothing",
        "FRAME-07",
        (
            "self.has_flag(frame_flags::COW)\n",
            f"self.has_flag(frame_flags::COW) && {FIRST_CPU}\n",
        ),
        where="another_cpu",
    ),
    mutant(
        "the second CPU spoils what it is refused",
        "ALLOC-15",
        (LOOK, f"        if !({FIRST_CPU}) {{\n            slot.set_order(0)\n        }}\n" + LOOK),
        where="another_cpu",
    ),
]

# Wrong for few lives, frames or requests only: behind 65 535 others, for two slots, behind a poisoned frame.
RARE = [
    mutant(
        "two frames have each other's slot",
        "ARRAY-06",
        (
            "unsafe { table.add(pfn as usize) };",
            "unsafe { table.add(match pfn { 5001 => 5002, 5002 => 5001, pfn => pfn as usize }) };",
        ),
        where="every_frame",
    ),
    mutant(
        "one of 65536 frames is not zeroed",
        "ALLOC-04",
        (
            "fn zero_payload(frame: PhysFrame) {\n",
            "fn zero_payload(frame: PhysFrame) {\n"
            "    static ZEROED: atomic::AtomicU16 = atomic::AtomicU16::new(0);\n"
            "    if ZEROED.fetch_add(1, Relaxed) == u16::MAX {\n        return;\n    }\n",
        ),
        where="many_lives",
    ),
    mutant(
        "one of 65536 lives has no generation of its own",
        "GEN-02",
        (
            "        self.generation.fetch_add(1, Release);\n",
            "        static EPOCHS: atomic::AtomicU16 = atomic::AtomicU16::new(0);\n"
            "        let later = EPOCHS.fetch_add(1, Relaxed) == u16::MAX;\n"
            "        self.generation.fetch_add(u32::from(!later), Release);\n",
        ),
        where="many_lives",
    ),
    mutant(
        "one of 65536 references is not given back",
        "REF-01",
        (
            "            held => Some(held - 1),\n",
            "            held => {\n"
            "                static GIVEN_BACK: atomic::AtomicU16 = atomic::AtomicU16::new(0);\n"
            "                let lost = GIVEN_BACK.fetch_add(u16::from(held > 1), Relaxed) == u16::MAX;\n"
            "                Some(held - u32::from(!lost))\n            }\n",
        ),
        where="many_lives",
    ),
    mutant(
        "one of 65536 allocations is refused",
        "ALLOC-11",
        (
            "        for _ in 0..METADATA_FRAME_COUNT.load(Acquire) {\n",
            "        static SERVED: atomic::AtomicU16 = atomic::AtomicU16::new(0);\n"
            "        if SERVED.fetch_add(1, Relaxed) == u16::MAX {\n"
            "            return Err(AllocError::OutOfMemory);\n        }\n"
            "        for _ in 0..METADATA_FRAME_COUNT.load(Acquire) {\n",
        ),
        where="many_lives",
    ),
    mutant(
        "another kind of memory in place of a poisoned frame",
        "ALLOC-08",
        (
            "        for _ in 0..METADATA_FRAME_COUNT.load(Acquire) {\n"
            "            let frame = buddy::alloc_migratetype(token, 0, self.migratetype())?;\n",
            "        for round in 0..METADATA_FRAME_COUNT.load(Acquire) {\n"
            "            let first = if round == 0 { self.migratetype() } else { Migratetype::Unmovable };\n"
            "            let frame = buddy::alloc_migratetype(token, 0, first)?;\n",
        ),
        where="passed_over",
    ),
    mutant(
        "a scan passes over frames that are free",
        "GUARD-07 GUARD-08",
        (SCAN, SCAN.replace("|paddr| ", "|paddr| get_meta(paddr).get_refcount() != REFCOUNT_UNUSED && ")),
        where="test_w_histories",
    ),
    mutant(
        "a scan looks at free frames only where a block begins",
        "GUARD-06",
        (SCAN, SCAN.replace("|paddr| ", f"|paddr| ({BEGINS} || {IS_NOT_FREE}) && ")),
        where="every_frame_of_a_block",
    ),
    mutant(
        "a poisoned frame is given back once another one was got",
        "FREE-06",
        (
            "            if self.make_live(frame) {\n                return Ok(frame);\n            }\n"
            "            buddy::free(token, frame, 0);\n",
            "            if let Some(poisoned) = passed_over.replace(frame) {\n"
            "                buddy::free(token, poisoned, 0);\n            }\n"
            "            if self.make_live(frame) {\n                return Ok(frame);\n            }\n",
        ),
        (
            "        // Acquire: pairs with `init_metadata_array`.\n        for _ in",
            "        let mut passed_over = None;\n"
            "        // Acquire: pairs with `init_metadata_array`.\n        for _ in",
        ),
        where="stays_allocated",
    ),
]

CROSSED = [*RECIPES, *OTHERS, *IN_USE, *HIGH, *ELSEWHERE, SCATTERED, *RARE]

ENABLES_INTERRUPTS: tuple[Edit, ...] = (
    (
        "        // The publication.",
        "        x86_64::instructions::interrupts::enable();\n        // The publication.",
    ),
)
INTERRUPTS_OF_A_SLOT: tuple[Edit, ...] = (
    (
        "                fence(Acquire);\n",
        "                fence(Acquire);\n                x86_64::instructions::interrupts::enable();\n",
    ),
)
KNOWS_THE_WINDOW: tuple[Edit, ...] = (
    (
        "phys_to_virt(frame.start_address.as_u64()) as usize);",
        "(0xffff_8000_0000_0000 + frame.start_address.as_u64()) as usize);",
    ),
)
"""It adds what boot loaders usually map memory at, instead of asking its kernel."""
