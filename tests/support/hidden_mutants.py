"""Bugs of frames at no border, of kept values, of refusals, of some CPUs, of bytes that are nobody's."""

from __future__ import annotations

from tests.support.frame_mutants import mutant
from tests.support.mutants import Edit

AT_NO_BORDER = "/ PAGE_SIZE & 0x3ff == 0x155"
ON_UNMAP = "    if let Some(hook) = get_meta(phys).vtable_ref().on_unmap {\n        hook(phys)\n"
DEFAULTS = "        Self { zeroed: true, purpose: FramePurpose::KernelData }\n"
IS_IN_USE = 'refcount is {found:#x}: in use", frame.start_address)'
GET_META = "pub fn get_meta(phys: PhysAddr) -> &'static MetaSlot {\n    get_meta_slot(phys)\n"
BASE = "METADATA_BASE_VIRT.load(Acquire)"
SCAN = "        .any(|paddr| get_meta(paddr).is_guard_poisoned())\n"
CPU = "(core::arch::x86_64::__cpuid(1).ebx >> 24)"
ZEROES = "if self.zeroed || self.purpose.requires_zero() {"

SCATTERED = [
    mutant(
        "the hook of some frames is told of the next one",
        "VT-04",
        (
            ON_UNMAP,
            ON_UNMAP.replace(
                "hook(phys)",
                f"hook(if phys.as_u64() {AT_NO_BORDER} {{ phys + PAGE_SIZE }} else {{ phys }})",
            ),
        ),
        where="slots_in_use",
    ),
    mutant(
        "behind some frames the next one is zeroed, too",
        "ALLOC-04",
        (
            "    unsafe { payload.write_bytes(0, PAGE_SIZE as usize) }",
            f"    let pages = if frame.start_address.as_u64() {AT_NO_BORDER} {{ 2 }} else {{ 1 }};\n"
            "    unsafe { payload.write_bytes(0, pages * PAGE_SIZE as usize) }",
        ),
        where="every_frame",
    ),
    mutant(
        "some frames are zeroed unasked",
        "ALLOC-05",
        (
            "if self.zeroed || self.purpose.requires_zero() {",
            "if self.zeroed\n            || self.purpose.requires_zero()\n"
            f"            || frame.start_address.as_u64() {AT_NO_BORDER}\n        {{",
        ),
        where="every_frame",
    ),
]

REMEMBERED = [
    mutant(
        "get_meta remembers the first table",
        "ARRAY-06",
        (
            GET_META,
            GET_META.replace("    get_meta_slot(phys)\n", "")
            + "    static FIRST: atomic::AtomicU64 = atomic::AtomicU64::new(0);\n    get_meta_slot(phys);\n"
            f"    let _ = FIRST.compare_exchange(0, {BASE}, AcqRel, Acquire);\n"
            "    let table = ptr::with_exposed_provenance::<MetaSlot>(FIRST.load(Acquire) as usize);\n"
            "    unsafe { &*table.add((phys.as_u64() / PAGE_SIZE) as usize) }\n",
        ),
        where="test_table",
    ),
    mutant(
        "get_meta keeps a table that is gone",
        "ARRAY-04",
        (
            GET_META,
            GET_META.replace("    get_meta_slot(phys)\n", "")
            + "    static KEPT: atomic::AtomicU64 = atomic::AtomicU64::new(0);\n"
            + f"    let base = {BASE};\n"
            "    if base != 0 || KEPT.load(Acquire) == 0 {\n        KEPT.store(base, Release);\n"
            "        return get_meta_slot(phys);\n    }\n"
            "    let table = ptr::with_exposed_provenance::<MetaSlot>(KEPT.load(Acquire) as usize);\n"
            "    unsafe { &*table.add((phys.as_u64() / PAGE_SIZE) as usize) }\n",
        ),
    ),
    mutant(
        "what one builder is told the next allocation does",
        "ALLOC-01",
        (
            "impl FrameAllocOptions {\n",
            "static ZEROED: atomic::AtomicBool = atomic::AtomicBool::new(true);\n\n"
            "impl FrameAllocOptions {\n",
        ),
        (DEFAULTS, f"        ZEROED.store(true, Release);\n{DEFAULTS}"),
        (
            "        Self { zeroed, ..self }\n",
            "        ZEROED.store(zeroed, Release);\n        Self { zeroed, ..self }\n",
        ),
        ("if self.zeroed || self.purpose", "if ZEROED.load(Acquire) || self.purpose"),
    ),
    mutant(
        "one of 65536 hooks is not called",
        "VT-05",
        (
            ON_UNMAP,
            "    static CALLED: atomic::AtomicU16 = atomic::AtomicU16::new(0);\n"
            + ON_UNMAP.replace(
                "hook(phys)",
                "if CALLED.fetch_add(1, Relaxed) != u16::MAX {\n            hook(phys)\n        }",
            ),
        ),
        where="many_lives",
    ),
]

SAID = [
    mutant(
        "a late claim does not name the sentinel",
        "ALLOC-10",
        (
            "REFCOUNT_NOBODY) {\n            refuse_claim(frame, found)\n",
            f'REFCOUNT_NOBODY) {{\n            panic!("frame {{:#x}}: {IS_IN_USE};\n',
        ),
        where="comes_too_late",
    ),
    mutant(
        "who asks for a page table is not told the sentinel",
        "ALLOC-10",
        (
            "            refuse_claim(frame, found)\n        }\n        if slot",
            "            if self.purpose.requires_zero() {\n"
            f'                panic!("frame {{:#x}}: {IS_IN_USE};\n            }}\n'
            "            refuse_claim(frame, found)\n        }\n        if slot",
        ),
        where="no_recipe_gets",
    ),
]

OF_SOME_CPUS = [
    mutant(
        "the third CPU zeroes nothing",
        "ALLOC-04",
        (ZEROES, f"if {CPU} != 2 && (self.zeroed || self.purpose.requires_zero()) {{"),
        where="another_cpu",
    ),
    mutant(
        "the fourth CPU begins two lives at once",
        "GEN-01",
        (
            "        self.generation.fetch_add(1, Release);\n",
            f"        self.generation.fetch_add(1 + u32::from({CPU} == 3), Release);\n",
        ),
        where="another_cpu",
    ),
    mutant(
        "the second CPU finds no poison in a block",
        "GUARD-06",
        (f"{BASE} == 0 {{\n        return false;", f"{BASE} == 0 || {CPU} == 1 {{\n        return false;"),
        where="another_cpu",
    ),
    mutant(
        "the second CPU takes any address for that of a frame",
        "FRAME-01",
        (
            "{ start_address: addr.align_down(PAGE_SIZE) }",
            f"{{ start_address: if {CPU} == 1 {{ addr }} else {{ addr.align_down(PAGE_SIZE) }} }}",
        ),
        where="another_cpu",
    ),
    mutant(
        "frames of the sixth CPU go without their hook",
        "VT-04",
        (
            "get_meta(phys).vtable_ref().on_last_ref {\n",
            "get_meta(phys)\n        .vtable_ref()\n        .on_last_ref\n"
            "        .filter(|_| get_meta(phys).meta_aux_load() & 0xffff != 5)\n    {\n",
        ),
        where="slots_in_use",
    ),
]

# Bytes that are nobody's to write, and what only the 65536th user or page table brings to light.
# Selected are `clause and where`: behind an `or` stand checks that are made for another clause.
WRITTEN = [
    mutant(
        "a mark writes into its frame",
        "LAYOUT-07",
        (
            "        self.flags.fetch_or(frame_flags::POISONED, AcqRel);\n",
            "        self.flags.fetch_or(frame_flags::POISONED, AcqRel);\n"
            f"        let at = (ptr::from_ref(self).addr() as u64).wrapping_sub({BASE});\n"
            "        if at >> 18 != 0 && at / 64 < METADATA_FRAME_COUNT.load(Acquire) {\n"
            "            unsafe { (phys_to_virt(at / 64 * PAGE_SIZE) as *mut u64).write(at) }\n        }\n",
        ),
        where="heals or mark_poisoned and another_cpu",
    ),
    mutant(
        "one of 65536 page tables is refused",
        "ALLOC-11",
        (
            "        for _ in 0..METADATA_FRAME_COUNT.load(Acquire) {\n            let frame = buddy::alloc",
            "        static ASKED: atomic::AtomicU16 = atomic::AtomicU16::new(0);\n"
            "        if self.purpose.requires_zero() && ASKED.fetch_add(1, Relaxed) == u16::MAX {\n"
            "            return Err(AllocError::OutOfMemory);\n        }\n"
            "        for _ in 0..METADATA_FRAME_COUNT.load(Acquire) {\n            let frame = buddy::alloc",
        ),
        where="many_lives or each_of_many_lives",
    ),
    mutant(
        "some frames are zeroed though they are in use",
        "ALLOC-15",
        (
            "            refuse_claim(frame, found)\n        }\n        if slot",
            "            if frame.start_address.as_u64() / PAGE_SIZE & 0x3ff == 0x2aa {\n"
            "                zero_payload(frame)\n            }\n"
            "            refuse_claim(frame, found)\n        }\n        if slot",
        ),
        where="no_recipe_gets",
    ),
    mutant(
        "one of 65536 page tables is not zeroed",
        "ALLOC-04",
        (
            ZEROES,
            "static TABLES: atomic::AtomicU16 = atomic::AtomicU16::new(0);\n"
            "        let is_table = self.purpose.requires_zero();\n"
            "        let skipped = is_table && TABLES.fetch_add(1, Relaxed) == u16::MAX;\n"
            "        if !skipped && (self.zeroed || is_table) {",
        ),
        where="many_lives or each_of_many_lives",
    ),
    mutant(
        "one of 65536 users' frames may not move",
        "ALLOC-02",
        (
            "        slot.set_flags(self.purpose.flags());\n",
            "        static USERS: atomic::AtomicU16 = atomic::AtomicU16::new(0);\n"
            "        let is_user = self.purpose == FramePurpose::UserData;\n"
            "        let stays = is_user && USERS.fetch_add(1, Relaxed) == u16::MAX;\n"
            "        slot.set_flags(self.purpose.flags() & !(u32::from(stays) << 13));\n",
        ),
        where="many_lives or each_of_many_lives",
    ),
]

RETURNED = [
    mutant(
        "a drop that is refused quietly tells of seven holders",
        "REF-01",
        ('Err(found) => refuse_reference("dec_ref", found),', "Err(_) => 7,"),
    ),
]

# What holds for one table, one poisoned frame, one place of vtables, is not all that is promised.
SECOND_ONES = [
    mutant(
        "a scan ends at the first guard that says something",
        "GUARD-06",
        (
            SCAN,
            "        .map(|paddr| get_meta(paddr).get_guard())\n        .find(|&guard| guard != 0)\n"
            "        .is_some_and(|guard| guard & meta_guard::POISONED != 0)\n",
        ),
        where="every_frame_of_a_block",
    ),
    mutant(
        "two poisoned frames of a block cancel each other out",
        "GUARD-06",
        (
            SCAN,
            "        .fold(0, |all, paddr| all ^ get_meta(paddr).get_guard())\n        >> 31\n        == 1\n",
        ),
        where="every_frame_of_a_block",
    ),
    mutant(
        "a scan remembers that there was a table",
        "GUARD-06",
        (
            f"    if {BASE} == 0 {{\n        return false;",
            "    static SEEN: atomic::AtomicBool = atomic::AtomicBool::new(false);\n"
            f"    if {BASE} != 0 {{\n        SEEN.store(true, Release);\n    }}\n"
            "    if !SEEN.load(Acquire) {\n        return false;",
        ),
        where="before_there_is_a_table",
    ),
    mutant(
        "vtables lie in the kernel's image alone",
        "VT-02",
        (
            "        if !vtable.is_aligned() {\n",
            "        if !vtable.is_aligned() || vtable.addr() < 0xffff_ffff_8000_0000 {\n",
        ),
        where="registered_vtable",
    ),
    mutant(
        "a table that is refused moves the end of the one before",
        "ARRAY-07",
        (
            "    let bytes = metadata_size_for(total_ram);\n",
            "    METADATA_FRAME_COUNT.store(frames, Release);\n"
            "    let bytes = metadata_size_for(total_ram);\n",
        ),
        where="ARRAY or no_room_for_is_refused",
    ),
    mutant(
        "a smaller table ends where the larger one did",
        "ARRAY-07",
        (
            "    METADATA_FRAME_COUNT.store(frames, Release);\n    METADATA_BASE_VIRT.store(base",
            "    METADATA_FRAME_COUNT.fetch_max(frames, AcqRel);\n    METADATA_BASE_VIRT.store(base",
        ),
        where="each_boundary_size",
    ),
    mutant(
        "who has a table is not told that another one is refused",
        "ARRAY-05",
        (
            '        panic!(\n            "frame metadata array: the boot',
            f"        if {BASE} != 0 {{\n            return;\n        }}\n"
            '        panic!(\n            "frame metadata array: the boot',
        ),
        where="no_room_for_is_refused",
    ),
    mutant(
        "a poisoned frame that is passed over has lived",
        "GEN-01",
        (
            "alone remembers.\n            slot.mark_poisoned();\n",
            "alone remembers.\n            slot.advance_generation();\n            slot.mark_poisoned();\n",
        ),
        where="recipe or no_recipe_heals_a_frame",
    ),
]

HIDDEN = [*SCATTERED, *REMEMBERED, *SAID, *OF_SOME_CPUS, *WRITTEN, *RETURNED, *SECOND_ONES]


def _behind_poison(end: str) -> tuple[Edit, ...]:
    """Poison that comes between look and claim: the frame goes back, and no other one is asked for."""
    return (
        (
            "            buddy::free(token, frame, 0);\n        }\n",
            "            let begun = get_meta(frame.start_address).get_flags() & frame_flags::KERNEL != 0;\n"
            "            buddy::free(token, frame, 0);\n            if begun {\n"
            f"                return {end};\n            }}\n        }}\n",
        ),
    )


GIVES_UP_BEHIND_POISON = _behind_poison("Err(AllocError::OutOfMemory)")
GIVEN_OUT_AND_BACK = _behind_poison("Ok(frame)")
# The life of a frame that is marked as late begins with the flags of one in quarantine.
LIVE_WITH_POISONED_FLAGS: tuple[Edit, ...] = (
    (
        "            slot.mark_poisoned();\n            slot.set_refcount(REFCOUNT_UNUSED);\n"
        "            return false;\n",
        "            if slot.get_flags() & frame_flags::POISONED == 0 {\n"
        "                slot.mark_poisoned();\n                slot.set_refcount(REFCOUNT_UNUSED);\n"
        "                return false;\n            }\n            slot.set_flags(frame_flags::POISONED);\n",
    ),
)
# Made first and looked at then: the count is the sentinel until it is put right.
TAKEN_BACK_TOO_LATE: tuple[Edit, ...] = (
    (
        "        match self.refcount.fetch_update(Release, Relaxed, step) {\n",
        "        let before = self.refcount.fetch_sub(1, Release);\n"
        "        let dropped = step(before).map(|_| before).ok_or(before);\n"
        "        if dropped.is_err() {\n            self.refcount.fetch_add(1, Relaxed);\n        }\n"
        "        match dropped {\n",
    ),
    (
        "        if let Err(found) = self.refcount.fetch_update(Relaxed, Relaxed, step) {\n",
        "        let found = self.refcount.fetch_add(1, Relaxed);\n        if step(found).is_none() {\n"
        "            self.refcount.fetch_sub(1, Relaxed);\n",
    ),
)
