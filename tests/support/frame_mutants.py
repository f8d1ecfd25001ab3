"""The ways in which the built-in frame module is broken, each with the clauses that must be found broken."""

from __future__ import annotations

from typing import Any

from tests.support.mutants import Edit, Mutant

SMALLEST = "test_w_whole_memory and smallest"


def mutant(name: str, clauses: str, *edits: Edit, **options: Any) -> Mutant:
    return Mutant(name, edits, frozenset(clauses.split()), **options)


CONSTANTS = [
    mutant(
        "tables aligned to half a slot",
        "CONST-01 ARRAY-02",
        ("FRAME_META_ALIGN: usize = FRAME_META_SIZE;", "FRAME_META_ALIGN: usize = FRAME_META_SIZE / 2;"),
    ),
    mutant(
        "sentinel one too low",
        "CONST-02",
        ("REFCOUNT_UNUSED: u32 = u32::MAX;", "REFCOUNT_UNUSED: u32 = u32::MAX - 1;"),
    ),
    mutant("another guard bit", "CONST-03", ("KERNEL_ONLY: u32 = 1;", "KERNEL_ONLY: u32 = 2;")),
    mutant("another flag bit", "CONST-04", ("ANONYMOUS: u32 = 1 << 2;", "ANONYMOUS: u32 = 1 << 3;")),
    mutant(
        "the guard's poison shows in the flags",
        "CONST-05",
        (
            "        self.guard.store(bits, Release)\n",
            "        self.guard.store(bits, Release);\n"
            "        self.flags.fetch_or(bits >> 19 & 1 << 12, AcqRel);\n",
        ),
    ),
]

LAYOUT = [
    mutant(
        "a slot of 128 bytes",
        "CONST-01 LAYOUT-01 LAYOUT-02",
        ("    pub _reserved_tail: [u8; 16],\n", "    pub _reserved_tail: [u8; 80],\n"),
        ("_reserved_tail: [0; 16],", "_reserved_tail: [0; 80],"),
        ("pub const FRAME_META_SIZE: usize = 64;", "pub const FRAME_META_SIZE: usize = 128;"),
        ("size_of::<FrameMetaVtable>() == FRAME_META_SIZE", "size_of::<FrameMetaVtable>() == 64"),
    ),
    mutant(
        "generation before refcount",
        "LAYOUT-02 LAYOUT-03",
        (
            "    pub refcount: atomic::AtomicU32,\n    /// Which life of the frame this is; wraps.\n"
            "    pub generation: atomic::AtomicU32,\n",
            "    pub generation: atomic::AtomicU32,\n    pub refcount: atomic::AtomicU32,\n",
        ),
        ("META_SLOT_REFCOUNT_BYTE_OFFSET == 32", "META_SLOT_REFCOUNT_BYTE_OFFSET == 36"),
        ("offset_of!(MetaSlot, refcount) == 32", "offset_of!(MetaSlot, refcount) == 36"),
        ("offset_of!(MetaSlot, generation) == 36", "offset_of!(MetaSlot, generation) == 32"),
    ),
    mutant(
        "prev before next",
        "LAYOUT-04",
        (
            "    pub(crate) next: atomic::AtomicU64,\n    pub(crate) prev: atomic::AtomicU64,\n",
            "    pub(crate) prev: atomic::AtomicU64,\n    pub(crate) next: atomic::AtomicU64,\n",
        ),
        ("offset_of!(FreeListLink, next) == 0", "offset_of!(FreeListLink, next) == 8"),
        ("offset_of!(FreeListLink, prev) == 8", "offset_of!(FreeListLink, prev) == 0"),
    ),
    mutant(
        "on_unmap before on_last_ref",
        "LAYOUT-05",
        ("    pub on_last_ref: Option<FrameHook>,\n", "    pub on_unmap: Option<FrameHook>,\n"),
        (
            "in address order, poisoned or not.\n    pub on_unmap: Option<FrameHook>,\n",
            "in address order, poisoned or not.\n    pub on_last_ref: Option<FrameHook>,\n",
        ),
        ("offset_of!(FrameMetaVtable, on_last_ref) == 0", "offset_of!(FrameMetaVtable, on_last_ref) == 8"),
        ("offset_of!(FrameMetaVtable, on_unmap) == 8", "offset_of!(FrameMetaVtable, on_unmap) == 0"),
    ),
    mutant(
        "FrameMeta is a type of its own",
        "LAYOUT-06",
        ("pub type FrameMeta = MetaSlot;", "pub struct FrameMeta(MetaSlot);"),
    ),
    mutant(
        "a setter that leaks into its neighbor",
        "LAYOUT-07",
        (
            "        self.meta_aux.store(v, Relaxed)\n",
            "        self.meta_aux.store(v, Relaxed);\n        self.guard.store(v >> 8, Relaxed)\n",
        ),
    ),
    mutant(
        "a new slot with a hint in it",
        "LAYOUT-08 ARRAY-03",
        ("meta_aux: atomic::AtomicU32::new(0),", "meta_aux: atomic::AtomicU32::new(1),"),
    ),
]

ARRAY = [
    mutant(
        "no slot for a partial frame",
        "ARRAY-01 ARRAY-09",
        ("bytes.div_ceil(PAGE_SIZE)", "bytes / PAGE_SIZE"),
    ),
    mutant(
        "the last slot stays garbage",
        "ARRAY-03",
        ("while done < count {", "while done < count - 1 {"),
        ("(SLOTS_A_PAGE).min(count - done);", "(SLOTS_A_PAGE).min(count - 1 - done);"),
    ),
    mutant(
        "zero RAM leaves the table",
        "ARRAY-04",
        (
            "        METADATA_BASE_VIRT.store(0, Release);\n"
            "        METADATA_FRAME_COUNT.store(0, Release);\n",
            "",
        ),
    ),
    mutant(
        "a refusal without figures",
        "ARRAY-05",
        ("has no {bytes} bytes at alignment", "has no room at alignment"),
    ),
    mutant(
        "a slot for the next frame",
        "ARRAY-06",
        ("phys.as_u64() / PAGE_SIZE;", "(phys.as_u64() + 63) / PAGE_SIZE;"),
    ),
    mutant("a slot past the end", "ARRAY-07", ("assert!(pfn < frames,", "assert!(pfn <= frames,")),
    mutant(
        "a snapshot in another order",
        "ARRAY-08",
        ("(self.generation(), guard, vtable)", "(guard, self.generation(), vtable)"),
        functions=frozenset({"frame_meta_debug_snapshot"}),  # which is what the contract names
    ),
    mutant(
        "no zero above 4 GiB",
        "ARRAY-10",
        (
            "    unsafe { payload.write_bytes(0, PAGE_SIZE as usize) }\n",
            "    if frame.start_address.as_u64() >> 32 == 0 {\n"
            "        unsafe { payload.write_bytes(0, PAGE_SIZE as usize) }\n    }\n",
        ),
        machine="q35-5g",
    ),
]

ALLOCATION = [
    mutant(
        "another default",
        "ALLOC-01",
        (
            "Self { zeroed: true, purpose: FramePurpose::KernelData }",
            "Self { zeroed: true, purpose: FramePurpose::UserData }",
        ),
    ),
    mutant(
        "flags of an earlier life",
        "ALLOC-02",
        ("slot.set_flags(self.purpose.flags());", "slot.flags.fetch_or(self.purpose.flags(), AcqRel);"),
    ),
    mutant(
        "kernel data requires zero",
        "ALLOC-03 ALLOC-05",
        ("self == Self::PageTable\n", "self == Self::PageTable || self == Self::KernelData\n"),
    ),
    mutant(
        "the last byte is not zeroed",
        "ALLOC-04",
        ("payload.write_bytes(0, PAGE_SIZE as usize)", "payload.write_bytes(0, PAGE_SIZE as usize - 1)"),
    ),
    mutant("everything is zeroed", "ALLOC-05", ("if self.zeroed || self.purpose", "if true || self.purpose")),
    mutant(
        "page tables need not be zero",
        "ALLOC-06 ALLOC-07",
        ("if self.zeroed || self.purpose.requires_zero() {", "if self.zeroed {"),
        functions=frozenset({"FrameAllocOptions::purpose"}),  # where another module would settle it
    ),
    mutant(
        "the last builder call wins",
        "ALLOC-07",
        ("if self.zeroed || self.purpose.requires_zero() {", "if self.zeroed {"),
        ("Self { purpose: p, ..self }", "Self { purpose: p, zeroed: self.zeroed || p.requires_zero() }"),
        functions=frozenset({"FrameAllocOptions::zeroed"}),  # which forgets what `purpose` settled
    ),
    mutant(
        "all frames are movable",
        "ALLOC-08",
        ("            0 => Migratetype::Unmovable,\n", "            0 => Migratetype::Movable,\n"),
    ),
    mutant("the order of an earlier life", "ALLOC-09", ("        slot.set_order(0);\n", "")),
    mutant(
        "whatever the buddy offers is taken",
        "ALLOC-10 ALLOC-13 ALLOC-15 FREE-08 GEN-01",
        ("        if found != REFCOUNT_UNUSED {\n            refuse_claim(frame, found)\n        }\n", ""),
        ("slot.cas_refcount(REFCOUNT_UNUSED, REFCOUNT_NOBODY)", "slot.cas_refcount(found, REFCOUNT_NOBODY)"),
    ),
    mutant(
        "a refused claim changes the count",
        "ALLOC-10 ALLOC-15",
        (
            "            refuse_claim(frame, found)\n        }\n        if slot",
            "            slot.inc_ref();\n            refuse_claim(frame, found)\n        }\n        if slot",
        ),
    ),
    mutant(
        "another error when memory is out",
        "ALLOC-11",
        ("self.migratetype())?;", "self.migratetype()).map_err(|_| AllocError::InvalidAddress)?;"),
    ),
    mutant(
        "the payload is zeroed before the look",
        "ALLOC-15",
        ("        if found != REFCOUNT_UNUSED {\n            refuse_claim(frame, found)\n        }\n", ""),
    ),
]

REFERENCES = [
    mutant("two at a time", "REF-01", (".then(|| count + 1);", ".then(|| count + 2);")),
    mutant(
        "dec_ref returns the count after",
        "REF-01",
        ("            Ok(before) => before,", "            Ok(before) => before - 1,"),
    ),
    mutant(
        "a failed swap reports what was expected",
        "REF-02",
        (
            "self.refcount.compare_exchange(expect, new, AcqRel, Acquire)",
            "self.refcount.compare_exchange(expect, new, AcqRel, Acquire).map_err(|_| expect)",
        ),
    ),
    mutant(
        "a reset leaves a holder", "REF-03", ("self.set_refcount(REFCOUNT_NOBODY)", "self.set_refcount(1)")
    ),
    mutant(
        "references wrap",
        "REF-07",
        (
            "let step = |count: u32| (count < REFCOUNT_UNUSED - 1).then(|| count + 1);",
            "let step = |count: u32| Some(count.wrapping_add(1));",
        ),
        (
            "            REFCOUNT_NOBODY | REFCOUNT_UNUSED => None,\n            held => Some(held - 1),",
            "            held => Some(held.wrapping_sub(1)),",
        ),
    ),
]

GENERATIONS = [
    mutant(
        "poison begins an epoch",
        "GEN-01",
        (
            "        self.fetch_or_guard(meta_guard::POISONED);\n",
            "        self.fetch_or_guard(meta_guard::POISONED);\n        self.advance_generation();\n",
        ),
    ),
    mutant("stale epochs match", "GEN-02", ("expected == get_meta(phys)", "expected <= get_meta(phys)")),
    mutant(
        "the last generation panics",
        "GEN-03",
        ("self.generation.fetch_add(1, Release);", "self.set_generation(self.generation() + 1);"),
        profile="dev",
    ),
]

GUARDS = [
    mutant(
        "fetch_or returns the new bits",
        "GUARD-01",
        ("self.guard.fetch_or(bits, AcqRel)", "self.guard.fetch_or(bits, AcqRel) | bits"),
    ),
    mutant(
        "poison replaces the flags",
        "GUARD-02",
        (
            "self.flags.fetch_or(frame_flags::POISONED, AcqRel);",
            "self.flags.store(frame_flags::POISONED, Release);",
        ),
    ),
    mutant(
        "the flags poison, too",
        "GUARD-03",
        (
            "self.get_guard() & meta_guard::POISONED == meta_guard::POISONED",
            "self.get_guard() & meta_guard::POISONED != 0 || self.get_flags() & frame_flags::POISONED != 0",
        ),
    ),
    mutant(
        "free frames keep their guard",
        "GUARD-04",
        (
            "        self.set_vtable_bits(0);\n        self.guard.fetch_and(meta_guard::POISONED, AcqRel);\n",
            "        self.set_vtable_bits(0);\n",
        ),
    ),
    mutant(
        "an epoch keeps guard and vtable",
        "GUARD-05",
        ("        self.set_vtable_bits(0);\n        self.set_guard(meta_guard::NONE);\n", ""),
    ),
    mutant(
        "only the first frame of a block counts",
        "GUARD-06 GUARD-07",
        ("    (0..1_u64 << order)\n", "    (0..1_u64 << (order & 0))\n"),
    ),
    mutant(
        "an allocation heals",
        "GUARD-08",
        ("        if slot.is_guard_poisoned() {\n", "        if false {\n"),
        (
            "        if found & meta_guard::POISONED != 0 {\n            return false;\n        }\n",
            "        self.set_guard(found & 0);\n",
        ),
    ),
    mutant(
        "the flags' poison counts, not the guard's",
        "GUARD-08",
        (
            "        if slot.is_guard_poisoned() {\n",
            "        if slot.get_flags() & frame_flags::POISONED != 0 {\n",
        ),
        (
            "        if found & meta_guard::POISONED != 0 {\n            return false;\n        }\n",
            "        self.set_guard(found & 0);\n",
        ),
    ),
]

VTABLES = [
    mutant(
        "no default vtable",
        "VT-01",
        ("            return Some(&DEFAULT_FRAME_META_VTABLE);\n", "            return None;\n"),
    ),
    mutant(
        "always the default vtable",
        "VT-02 LAYOUT-05",
        ("            Some(vtable) => vtable,\n", "            Some(_) => &DEFAULT_FRAME_META_VTABLE,\n"),
    ),
    mutant(
        "misaligned vtables are followed",
        "VT-03",
        ("        if !vtable.is_aligned() {\n            return None;\n        }\n", ""),
        ("Some(unsafe { &*vtable })", "Some(unsafe { &*vtable.map_addr(|at| at & !7) })"),
    ),
    mutant(
        "a hook is called twice",
        "VT-04 VT-05",
        (
            "    if let Some(hook) = get_meta(phys).vtable_ref().on_last_ref {\n        hook(phys)\n",
            "    if let Some(hook) = get_meta(phys).vtable_ref().on_last_ref {\n"
            "        hook(phys);\n        hook(phys)\n",
        ),
    ),
    mutant(
        "hooks run with interrupts enabled",
        "VT-06",
        (
            "    if let Some(hook) = get_meta(phys).vtable_ref().on_unmap {\n        hook(phys)\n",
            "    if let Some(hook) = get_meta(phys).vtable_ref().on_unmap {\n"
            "        x86_64::instructions::interrupts::enable();\n        hook(phys);\n"
            "        x86_64::instructions::interrupts::disable();\n",
        ),
    ),
]

FREE_LISTS = [
    mutant(
        "links lead to frames alone",
        "FREE-07",
        (
            "        self.free_link.prev.store(prev, Release)\n",
            "        let kept = if prev == FRAME_META_LINK_NONE { 0 } else { 0xfff };\n"
            "        self.free_link.prev.store(prev & !kept, Release)\n",
        ),
    ),
    mutant(
        "the last block of 16 MiB never comes home",
        "FREE-09",
        (
            "        .any(|paddr| get_meta(paddr).is_guard_poisoned())\n",
            "        .any(|paddr| {\n            let last = (paddr.as_u64() + PAGE_SIZE) % (16 << 20) == 0;\n"
            "            last || get_meta(paddr).is_guard_poisoned()\n        })\n",
        ),
    ),
    mutant(
        "the table lies in free memory",
        "ARRAY-02 ARRAY-11",
        (
            "boot_alloc.try_alloc_accessible(bytes as usize, FRAME_META_ALIGN)",
            "boot_alloc.try_alloc_accessible(bytes as usize, FRAME_META_ALIGN).map(|at| at + 4096_u64)",
        ),
        where=f"({SMALLEST} or accessible_path)",
    ),
    mutant(
        "the same frame twice",
        "ALLOC-14",
        (
            "            if self.make_live(frame) {\n                return Ok(frame);\n",
            "            if self.make_live(frame) {\n"
            "                buddy::free(token, frame, 0);\n"
            "                return Ok(frame);\n",
        ),
        where=SMALLEST,
    ),
    mutant(
        "links in the frame itself",
        "FREE-01",
        (
            "        self.free_link.next.store(next, Release)\n",
            "        self.free_link.next.store(next, Release);\n"
            "        let base = METADATA_BASE_VIRT.load(Acquire);\n"
            "        let pfn = (ptr::from_ref(self).addr() as u64 - base) / FRAME_META_SIZE as u64;\n"
            "        let vaddr = phys_to_virt(pfn * PAGE_SIZE) as usize;\n"
            "        let payload = ptr::with_exposed_provenance_mut::<u64>(vaddr);\n"
            "        unsafe { payload.write_volatile(next) }\n",
        ),
        where=SMALLEST,
    ),
    mutant(
        "a free frame is the kernel's only",
        "FREE-02 GUARD-04",
        (
            "        self.set_vtable_bits(0);\n        self.guard.fetch_and(meta_guard::POISONED, AcqRel);\n",
            "        self.set_vtable_bits(0);\n        self.guard.fetch_and(meta_guard::POISONED, AcqRel);\n"
            "        self.guard.fetch_or(meta_guard::KERNEL_ONLY, AcqRel);\n",
        ),
        where=f"({SMALLEST} or keeps_poison_alone)",
    ),
    mutant(
        "odd frames of a block have an order of their own",
        "FREE-04 LAYOUT-07",
        (
            "        self.order.store(order, Release)\n",
            "        self.order.store(order | (ptr::from_ref(self).addr() << 1) as u8 & 0x80, Release)\n",
        ),
        ("        self.order.load(Acquire)\n", "        self.order.load(Acquire) & 0x7f\n"),
        where=f"({SMALLEST} or three_witnesses)",
    ),
    mutant(
        "lists lead one way",
        "FREE-03 FREE-07",
        (
            "        self.free_link.prev.store(prev, Release)\n",
            "        self.free_link.prev.store(prev, Release);\n"
            "        self.free_link.prev.store(prev ^ (prev != FRAME_META_LINK_NONE) as u64, Release)\n",
        ),
        (
            "        self.free_link.prev.load(Acquire)\n",
            "        let prev = self.free_link.prev.load(Acquire);\n"
            "        prev ^ (prev != FRAME_META_LINK_NONE) as u64\n",
        ),
        where=f"({SMALLEST} or links_hold)",
    ),
]

FRAMES = [
    mutant(
        "every address starts a frame",
        "FRAME-01",
        (
            "if frame.start_address == addr { Ok(frame) } else { Err(()) }",
            "if frame.start_address <= addr { Ok(frame) } else { Err(()) }",
        ),
    ),
    mutant(
        "the end is not part of the range", "FRAME-02", ("if frame > self.end {", "if frame >= self.end {")
    ),
    mutant(
        "the last frame has a successor",
        "FRAME-03",
        (
            "PhysAddr::try_new(self.start_address.as_u64() + PAGE_SIZE).ok()?;",
            "PhysAddr::new(self.start_address.as_u64() + PAGE_SIZE);",
        ),
    ),
    mutant(
        "all frames are equal",
        "FRAME-04",
        (
            "#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]\npub struct PhysFrame {",
            "impl PartialEq for PhysFrame {\n    fn eq(&self, other: &Self) -> bool {\n"
            "        self.start_address.as_u64() >> 20 == other.start_address.as_u64() >> 20\n    }\n}\n"
            "#[derive(Clone, Copy, Debug, Eq, Ord, PartialOrd)]\npub struct PhysFrame {",
        ),
        functions=frozenset({"PhysFrame"}),
    ),
    mutant(
        "two of the errors are one",
        "FRAME-05",
        ("    /// Larger than the largest block.\n    InvalidOrder,\n", ""),
        (
            "/// Something that hands out blocks",
            "#[allow(non_upper_case_globals)]\nimpl AllocError {\n"
            "    pub const InvalidOrder: Self = Self::OutOfMemory;\n}\n\n/// Something that hands out blocks",
        ),
    ),
    mutant(
        "a fourth error",
        "FRAME-05",
        ("    InvalidAddress,\n}", "    InvalidAddress,\n    Poisoned,\n}"),
        where="three_of_the_contract",
    ),
    mutant(
        "alloc_frame takes two", "FRAME-06", ("Self::alloc(self, 0, token)", "Self::alloc(self, 1, token)")
    ),
    mutant(
        "is_dll looks at COW",
        "FRAME-07",
        ("self.has_flag(frame_flags::DLL)", "self.has_flag(frame_flags::COW)"),
    ),
    mutant(
        "meta_aux has 16 bits",
        "FRAME-08",
        ("self.meta_aux.store(v, Relaxed)", "self.meta_aux.store(v & 0xffff, Relaxed)"),
    ),
]

# Each was once blamed on a clause or a function that only noticed it.
NOTICED = [
    mutant(
        "references saturate at 8 bits",
        "REF-01",
        (".then(|| count + 1);", ".then(|| if count >= 255 { count } else { count + 1 });"),
        where="test_s_histories",
    ),
    mutant(
        "coming home clears the generation",
        "GEN-01",
        (
            "        self.set_vtable_bits(0);\n        self.guard.fetch_and(meta_guard::POISONED, AcqRel);\n",
            "        self.set_vtable_bits(0);\n        self.generation.store(0, Release);\n"
            "        self.guard.fetch_and(meta_guard::POISONED, AcqRel);\n",
        ),
    ),
    mutant(
        "movable frames come from the other list",
        "ALLOC-08",
        ("            _ => Migratetype::Movable,\n", "            _ => Migratetype::Unmovable,\n"),
    ),
]

# Right in all but a corner: what a check that tries the obvious values alone would let through.
CORNERS = [
    mutant(
        "a frame that begins with zeroes is taken for zeroed",
        "ALLOC-04 ALLOC-06",
        (
            "if self.zeroed || self.purpose.requires_zero() {",
            "let word = phys_to_virt(frame.start_address.as_u64()) as *const u64;\n"
            "        if (self.zeroed || self.purpose.requires_zero()) && unsafe { word.read() } != 0 {",
        ),
    ),
    mutant(
        "an earlier life's poisoned flag stays",
        "ALLOC-02",
        (
            "slot.set_flags(self.purpose.flags());",
            "slot.set_flags(self.purpose.flags() | slot.get_flags() & frame_flags::POISONED);",
        ),
    ),
    mutant(
        "pfns of 32 bits",
        "ARRAY-07",
        (
            "let pfn = phys.as_u64() / PAGE_SIZE;\n    assert!(pfn < frames",
            "let pfn = u64::from((phys.as_u64() / PAGE_SIZE) as u32);\n    assert!(pfn < frames",
        ),
    ),
    mutant(
        "fetch_or_guard poisons the flags, too",
        "CONST-05 GUARD-01",
        (
            "        self.guard.fetch_or(bits, AcqRel)\n    }",
            "        self.flags.fetch_or(bits >> 19 & frame_flags::POISONED, AcqRel);\n"
            "        self.guard.fetch_or(bits, AcqRel)\n    }",
        ),
    ),
    mutant(
        "large blocks are judged by their head",
        "GUARD-06 GUARD-07",
        ("(0..1_u64 << order)\n", "(0..if order >= 9 { 1 } else { 1_u64 << order })\n"),
    ),
    mutant(
        "a scan that ends at order 10",
        "GUARD-06 GUARD-07",
        ("(0..1_u64 << order)\n", "(0..1_u64 << order.min(10))\n"),
    ),
    mutant(
        "a count that saturates at 16 bits",
        "REF-01",
        (".then(|| count + 1);", ".then(|| if count == 0xffff { count } else { count + 1 });"),
    ),
    mutant(
        "a table at multiples of 128 alone",
        "ARRAY-02",
        ("let base = phys_to_virt(paddr.as_u64());", "let base = phys_to_virt(paddr.as_u64()) & !64;"),
    ),
    mutant(
        "epochs are compared by their low half",
        "GEN-02",
        ("expected == get_meta(phys).generation()", "expected as u16 == get_meta(phys).generation() as u16"),
    ),
    mutant(
        "allocation asks the flags for poison",
        "GUARD-08",
        (
            "        if slot.is_guard_poisoned() {\n            // The buddy",
            "        if slot.get_flags() & frame_flags::POISONED != 0 {\n            // The buddy",
        ),
        ("if !slot.begin_epoch_unless_poisoned() {", "slot.note_new_allocation_epoch();\n        if false {"),
    ),
    mutant(
        "links are stored relaxed",
        "FREE-07",
        ("self.free_link.next.store(next, Release)", "self.free_link.next.store(next, Relaxed)"),
        where="compiled_code",
    ),
    mutant(
        "meta_aux is no atomic",
        "FRAME-08",
        (
            "self.meta_aux.store(v, Relaxed)",
            "unsafe { self.meta_aux.as_ptr().write(v) }",
        ),
        where="compiled_code",
    ),
    mutant(
        "vtables must be aligned to 16",
        "VT-02",
        ("        if !vtable.is_aligned() {\n", "        if vtable.addr() & 15 != 0 {\n"),
    ),
]

# Of frames that are poisoned while they are free, or in use when the buddy offers them.
PASSED_OVER = [
    mutant(
        "a poisoned frame is given back before anybody looks whether it is in use",
        "ALLOC-10",
        (
            "        let found = slot.get_refcount();\n        if found != REFCOUNT_UNUSED {\n",
            "        let found = slot.get_refcount();\n"
            "        if found != REFCOUNT_UNUSED && !slot.is_guard_poisoned() {\n",
        ),
    ),
    mutant(
        "a poisoned frame that is passed over is lost",
        "FREE-06",
        ("            buddy::free(token, frame, 0);\n        }\n        Err(", "        }\n        Err("),
    ),
]

# Right for most of many: frames of a range or of a block, frames that are passed over, requests.
ONE_OF_MANY = [
    mutant(
        "a range names one frame twice, and not the one before it",
        "FRAME-02",
        (
            "        Some(frame)\n    }\n}\n\n// ---- Allocators",
            "        let skipped = frame.start_address.as_u64() >> 12 & 63 == 2 && self.start <= self.end;\n"
            "        Some(if skipped { self.start } else { frame })\n    }\n}\n\n// ---- Allocators",
        ),
    ),
    mutant(
        "a scan by eights that forgets one of them",
        "GUARD-06",
        (
            "        .any(|paddr| get_meta(paddr).is_guard_poisoned())\n",
            "        .filter(|paddr| order < 3 || paddr.as_u64() / PAGE_SIZE % 8 != 6)\n"
            "        .any(|paddr| get_meta(paddr).is_guard_poisoned())\n",
        ),
    ),
    mutant(
        "an allocation that passes over some frames, then says that memory is out",
        "GUARD-08",
        (
            "        for _ in 0..METADATA_FRAME_COUNT.load(Acquire) {\n",
            "        for _ in 0..METADATA_FRAME_COUNT.load(Acquire).min(64) {\n",
        ),
        where="many_poisoned",
    ),
    mutant(
        "who is refused movable memory is given other memory",
        "ALLOC-11",
        (
            "            let frame = buddy::alloc_migratetype(token, 0, self.migratetype())?;\n",
            "            let asked = buddy::alloc_migratetype(token, 0, self.migratetype());\n"
            "            let frame = match (asked, self.migratetype()) {\n"
            "                (Err(_), Migratetype::Movable) => {\n"
            "                    buddy::alloc_migratetype(token, 0, Migratetype::Unmovable)\n"
            "                }\n                (asked, _) => asked,\n            }?;\n",
        ),
        where="refuses",
    ),
]

MUTANTS = [
    *CORNERS,
    *CONSTANTS,
    *LAYOUT,
    *ARRAY,
    *ALLOCATION,
    *REFERENCES,
    *GENERATIONS,
    *GUARDS,
    *VTABLES,
    *FREE_LISTS,
    *FRAMES,
    *NOTICED,
    *PASSED_OVER,
    *ONE_OF_MANY,
]
