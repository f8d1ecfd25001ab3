"""Bugs at frames that lie at no border, values kept of an earlier table, refusals without their reason."""

from __future__ import annotations

from tests.support.frame_mutants import mutant
from tests.support.mutants import Edit

AT_NO_BORDER = "/ PAGE_SIZE & 0x3ff == 0x155"
ON_UNMAP = "    if let Some(hook) = get_meta(phys).vtable_ref().on_unmap {\n        hook(phys)\n"
DEFAULTS = "        Self { zeroed: true, purpose: FramePurpose::KernelData }\n"
IS_IN_USE = 'refcount is {found:#x}: in use", frame.start_address)'
GET_META = "pub fn get_meta(phys: PhysAddr) -> &'static MetaSlot {\n    get_meta_slot(phys)\n"
BASE = "METADATA_BASE_VIRT.load(Acquire)"

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

HIDDEN = [*SCATTERED, *REMEMBERED, *SAID]

# Poison that comes between look and claim: the frame goes back, and no other one is asked for.
GIVES_UP_BEHIND_POISON: tuple[Edit, ...] = (
    (
        "            buddy::free(token, frame, 0);\n        }\n",
        "            let begun = get_meta(frame.start_address).get_flags() & frame_flags::KERNEL != 0;\n"
        "            buddy::free(token, frame, 0);\n            if begun {\n"
        "                return Err(AllocError::OutOfMemory);\n            }\n        }\n",
    ),
)
